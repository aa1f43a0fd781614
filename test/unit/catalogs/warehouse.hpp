#pragma once
// A folder of tables for a test, gone after it.

#include <cstdlib>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <string>

namespace signalbox::test {

namespace fs = std::filesystem;

class Warehouse {
  public:
    Warehouse() {
        std::string pattern = fs::temp_directory_path() / "signalbox-warehouse-XXXXXX";
        path_ = ::mkdtemp(pattern.data());
    }
    ~Warehouse() {
        std::error_code error;
        fs::remove_all(path_, error);
    }
    Warehouse(const Warehouse&) = delete;
    Warehouse& operator=(const Warehouse&) = delete;

    const std::string& path() const { return path_; }

    static std::string metadata_text(const std::string& location, std::int64_t updated_ms = 1) {
        return fmt::format(
            R"({{"format-version": 2, "table-uuid": "u", "location": "{}", "last-sequence-number": 0,)"
            R"( "last-updated-ms": {}, "last-column-id": 1, "current-schema-id": 0,)"
            R"( "schemas": [{{"type": "struct", "schema-id": 0, "fields": []}}], "default-spec-id": 0,)"
            R"( "partition-specs": [{{"spec-id": 0, "fields": []}}], "properties": {{}}, "snapshots": []}})",
            location, updated_ms);
    }

    static void write(const std::string& file, const std::string& text) {
        fs::create_directories(fs::path(file).parent_path());
        std::ofstream(file) << text;
    }

    // As Hadoop's catalog commits: a temporary file, renamed.
    std::string commit(const std::string& table, int version, bool hint = false) const {
        const std::string folder = path_ + "/" + table + "/metadata";
        const std::string file = fmt::format("{}/v{}.metadata.json", folder, version);
        write(folder + "/.tmp", metadata_text(path_ + "/" + table, version));
        fs::rename(folder + "/.tmp", file);
        if (hint) write(folder + "/version-hint.text", std::to_string(version));
        return file;
    }

    // What was done long ago, so that a file system's clock tells it from now.
    void age(const std::string& table) const {
        for (const auto& entry : fs::directory_iterator(path_ + "/" + table + "/metadata")) {
            fs::last_write_time(entry.path(), fs::file_time_type::clock::now() - std::chrono::hours(1));
        }
        fs::last_write_time(path_ + "/" + table + "/metadata",
                            fs::file_time_type::clock::now() - std::chrono::hours(1));
    }

  private:
    std::string path_;
};

}  // namespace signalbox::test
