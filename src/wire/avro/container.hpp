#pragma once
// Avro object container files (Avro spec 1.11, "Object Container Files"): the header, then blocks, each decompressed
// when it is asked for. Nothing but the one block at hand is kept.

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "base/error.hpp"
#include "wire/avro/compression.hpp"
#include "wire/avro/plan.hpp"
#include "wire/avro/rows.hpp"

namespace signalbox::avro {

struct Limits {
    std::size_t block_max_bytes = std::size_t{256} << 20;  // decompressed
    std::size_t header_entries_max = 1000;
};

struct Block {
    std::uint64_t offset = 0;  // of the block's first byte in the file
    std::int64_t row_count = 0;
    std::string_view data;  // decompressed; lives until the next block is read
};

class ContainerReader {
  public:
    // `file` is the whole file and must outlive the reader.
    explicit ContainerReader(std::string_view file, Limits limits = {});

    // Reads the header; to be called first, once. Errors name the byte of the file. NotSupported for an unknown codec.
    base::Status open();
    // The header's entries, avro.schema and Iceberg's own among them, as raw bytes.
    const std::map<std::string, std::string, std::less<>>& metadata() const { return metadata_; }
    std::string_view schema_text() const;

    // Reads and decompresses the next block; false at the end of the file. CorruptData names the byte of the file.
    base::Result<bool> next_block(Block& block);

    // Every row of every block in order. on_row returns a Status; its error ends the reading and is passed on with the
    // row's place in front.
    template <typename OnRow>
    base::Status for_each_row(const Plan& plan, OnRow&& on_row) {
        Block block;
        RowCursor rows(plan);
        for (;;) {
            SB_TRY(const bool more, next_block(block));
            if (!more) return {};
            rows.start(block.data, block.row_count);
            std::int64_t row = 0;
            while (rows.next()) {
                if (base::Status status = on_row(rows); !status) return row_error(status.error(), block, row);
                ++row;
            }
            if (rows.failed()) return block_error(block, rows.failure());
        }
    }

  private:
    base::Result<std::int64_t> read_long(std::string_view what);
    base::Result<std::string_view> read_text(std::string_view what);
    base::Status read_metadata();
    tl::unexpected<base::Error> corrupt(std::uint64_t offset, std::string_view what) const;
    static tl::unexpected<base::Error> block_error(const Block& block, const std::string& what);
    static tl::unexpected<base::Error> row_error(const base::Error& error, const Block& block, std::int64_t row);

    std::string_view file_;
    Limits limits_;
    std::uint64_t at_ = 0;
    Codec codec_ = Codec::Null;
    std::string_view sync_;
    std::map<std::string, std::string, std::less<>> metadata_;
    Decompressor decompressor_;
};

}  // namespace signalbox::avro
