// Measures how fast a table's manifests are read, beside libdeflate alone on the same bytes, and makes the tables for
// that. Prints one JSON object; bench/lake.py turns it into figures.

#include <CLI/CLI.hpp>
#include <chrono>
#include <ctime>
#include <filesystem>
#include <iostream>
#include <libdeflate.h>
#include <memory>
#include <stdexcept>
#include <vector>

#include "adapters/iceberg/local_table.hpp"
#include "adapters/iceberg/manifest_reader.hpp"
#include "adapters/iceberg/table_reader.hpp"
#include "base/json.hpp"
#include "base/text.hpp"
#include "engine/table_snapshot.hpp"
#include "lake_table.hpp"
#include "wire/avro/container.hpp"

namespace {

using namespace signalbox;
namespace json = base::json;

constexpr std::uint64_t file_max_bytes = std::uint64_t{4} << 30;

// Core time of all threads of this process: what else the machine does is no part of a rate of one core. It counts what
// the kernel does for us, reading of files among it.
double core_seconds() {
    timespec time{};
    ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

double wall_seconds() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

[[noreturn]] void stop(const std::string& why) { throw std::runtime_error(why); }

// A table's manifests in memory, for those stages that read no file.
struct Loaded {
    std::vector<std::string> files;
    std::vector<std::vector<bench::PackedBlock>> blocks;
    std::int64_t rows = 0;
};

iceberg::LocalTable open(const std::string& folder) {
    auto table = iceberg::open_table(folder);
    if (!table) stop(table.error().text());
    if (table->metadata.current_snapshot() == nullptr) stop(folder + ": the table has no snapshot");
    return std::move(*table);
}

Loaded load(const std::string& folder) {
    const iceberg::LocalTable table = open(folder);
    const std::string& list = table.metadata.current_snapshot()->manifest_list;
    const auto files = iceberg::files_of(table);
    const auto file_of = [&](const std::string& uri) {
        auto content = files->read(uri, file_max_bytes);
        if (!content) stop(content.error().text());
        return std::move(*content);
    };
    const auto manifests = iceberg::read_manifest_list(file_of(list));
    if (!manifests) stop(manifests.error().text());
    Loaded loaded;
    for (const lake::ManifestFile& manifest : *manifests) {
        loaded.files.push_back(file_of(manifest.path));
        loaded.blocks.push_back(bench::packed_blocks(loaded.files.back()));
        for (const bench::PackedBlock& block : loaded.blocks.back()) loaded.rows += block.rows;
    }
    return loaded;
}

// All blocks, one after another, into one buffer: what any reader must do at least. Gives the inflated bytes.
std::uint64_t inflate_all(const Loaded& loaded) {
    const std::unique_ptr<libdeflate_decompressor, decltype(&libdeflate_free_decompressor)> inflater(
        libdeflate_alloc_decompressor(), &libdeflate_free_decompressor);
    std::vector<char> buffer(std::size_t{1} << 20);
    std::uint64_t total = 0;
    for (std::size_t i = 0; i < loaded.files.size(); ++i) {
        for (const bench::PackedBlock& block : loaded.blocks[i]) {
            std::size_t size = 0;
            const auto status = libdeflate_deflate_decompress(inflater.get(), loaded.files[i].data() + block.offset,
                                                              block.size, buffer.data(), buffer.size(), &size);
            if (status != LIBDEFLATE_SUCCESS) stop("a block can't be inflated");
            total += size;
        }
    }
    return total;
}

// The whole way, as `signalbox table metrics` goes it: metadata, both lists, every manifest, the table's state. Gives
// the live data files.
std::int64_t read_all(const std::string& folder, unsigned threads = 1) {
    const iceberg::LocalTable table = open(folder);
    const auto files = iceberg::files_of(table);
    iceberg::TableReader reader(*files, threads);
    const auto reading = engine::read_snapshot(reader, table.metadata, *table.metadata.current_snapshot(), {});
    if (!reading) stop(reading.error().text());
    if (reading->change.truth != lake::Truth::Difference) stop("the change is not known by the difference");
    return reading->state.live()[0].files;
}

template <typename Work>
std::pair<double, double> timed(const Work& work) {
    const double core = core_seconds();
    const double wall = wall_seconds();
    work();
    return {core_seconds() - core, wall_seconds() - wall};
}

// Entries a second of core time: libdeflate alone and the whole way, in alternation.
json::object share(const std::string& folder, int pairs) {
    const Loaded loaded = load(folder);
    std::uint64_t bytes = inflate_all(loaded);
    if (read_all(folder) != loaded.rows) stop("not all entries were counted");
    json::array inflate;
    json::array whole;
    for (int i = 0; i < pairs; ++i) {
        inflate.push_back(static_cast<double>(loaded.rows) / timed([&] { bytes = inflate_all(loaded); }).first);
        whole.push_back(static_cast<double>(loaded.rows) / timed([&] { read_all(folder); }).first);
    }
    return {{"entries", loaded.rows}, {"inflated_bytes", bytes}, {"inflate", inflate}, {"read", whole}};
}

json::object read(const std::string& folder, int times) {
    std::int64_t files = 0;
    json::array core;
    json::array wall;
    for (int i = 0; i < times; ++i) {
        const auto [core_s, wall_s] = timed([&] { files = read_all(folder); });
        core.push_back(core_s);
        wall.push_back(wall_s);
    }
    return {{"entries", files}, {"core_s", core}, {"wall_s", wall}};
}

// Seconds of one thread and of several, in alternation.
json::object scale(const std::string& folder, int pairs, unsigned threads) {
    const std::int64_t files = read_all(folder, threads);
    json::array one;
    json::array several;
    for (int i = 0; i < pairs; ++i) {
        one.push_back(timed([&] { read_all(folder, 1); }).second);
        several.push_back(timed([&] { read_all(folder, threads); }).second);
    }
    return {{"entries", files}, {"one", one}, {"several", several}};
}

json::object make(const bench::TableOptions& options) {
    const bench::TableMade made = bench::make_table(options);
    return {{"files", made.files},
            {"records", made.records},
            {"size_bytes", made.size_bytes},
            {"manifests", made.manifests},
            {"manifest_bytes", made.manifest_bytes},
            {"metadata_file", made.metadata_file}};
}

}  // namespace

int main(int argc, char** argv) {
    CLI::App app{"Benchmarks of reading Iceberg manifests"};
    app.require_subcommand(1);
    bench::TableOptions options;
    CLI::App* const make_command = app.add_subcommand("make", "make a table");
    make_command->add_option("FOLDER", options.folder)->required();
    make_command->add_option("--files", options.files)->check(CLI::Range(1, 100'000'000));
    make_command->add_option("--columns", options.columns)->check(CLI::Range(4, 1000));
    make_command->add_option("--partitions", options.partitions)->check(CLI::Range(1, 10'000'000));
    make_command->add_option("--manifests", options.manifests)->check(CLI::Range(1, 1'000'000));
    make_command->add_option("--seed", options.seed);
    std::string folder;
    int pairs = 9;
    CLI::App* const share_command =
        app.add_subcommand("share", "the whole way beside libdeflate alone, in alternation");
    share_command->add_option("FOLDER", folder)->required();
    share_command->add_option("--pairs", pairs)->check(CLI::Range(1, 1000));
    CLI::App* const read_command = app.add_subcommand("read", "the whole way alone");
    read_command->add_option("FOLDER", folder)->required();
    int times = 1;
    read_command->add_option("--times", times)->check(CLI::Range(1, 1000));
    unsigned threads = 2;
    CLI::App* const scale_command = app.add_subcommand("scale", "one thread beside several, in alternation");
    scale_command->add_option("FOLDER", folder)->required();
    scale_command->add_option("--pairs", pairs)->check(CLI::Range(1, 1000));
    scale_command->add_option("--threads", threads)->check(CLI::Range(2, 64));
    CLI11_PARSE(app, argc, argv);
    try {
        if (make_command->parsed())
            options.folder = std::filesystem::absolute(options.folder).lexically_normal().string();
        json::object result;
        if (make_command->parsed()) result = make(options);
        if (share_command->parsed()) result = share(folder, pairs);
        if (read_command->parsed()) result = read(folder, times);
        if (scale_command->parsed()) result = scale(folder, pairs, threads);
        std::cout << json::serialize(result) << "\n";
    } catch (const std::exception& error) {
        std::cerr << "lake_bench: " << error.what() << "\n";
        return 1;
    }
    return 0;
}
