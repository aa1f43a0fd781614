#pragma once
// Compact bytes for what the store keeps: numbers as varints, texts with their length. A reader never reads past the
// end; after the first fault it stays failed and gives zeros, so that callers check once, at the end.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace signalbox::lake {

class BlobWriter {
  public:
    void byte(std::uint8_t value) { out_ += static_cast<char>(value); }
    void count(std::uint64_t value) { varint(value); }
    void number(std::int64_t value) { varint(static_cast<std::uint64_t>(value) << 1 ^ sign(value)); }
    void fixed(std::uint64_t value);     // 8 bytes, for hashes
    void wide(unsigned __int128 value);  // a signed number in disguise: near zero is short
    void optional(std::optional<std::int64_t> value);
    void text(std::string_view value);
    std::string take() { return std::move(out_); }

  private:
    static std::uint64_t sign(std::int64_t value) { return value < 0 ? ~std::uint64_t{0} : 0; }
    void varint(unsigned __int128 value);

    std::string out_;
};

class BlobReader {
  public:
    explicit BlobReader(std::string_view in) : in_(in) {}

    std::uint8_t byte();
    // Of elements that follow, each of at least `bytes_each` bytes: more than there is room for is a fault.
    std::size_t count(std::size_t bytes_each);
    std::int64_t number();
    std::int64_t natural();  // a number that is not negative
    std::uint64_t fixed();
    unsigned __int128 wide();
    std::optional<std::int64_t> optional();
    std::string_view text();

    void fail() { failed_ = true; }
    // What is read must hold.
    void expect(bool holds) { failed_ = failed_ || !holds; }
    bool failed() const { return failed_; }
    // Whether all was read, without a fault.
    bool done() const { return !failed_ && in_.empty(); }

  private:
    unsigned __int128 varint(int bits_max);

    std::string_view in_;
    bool failed_ = false;
};

}  // namespace signalbox::lake
