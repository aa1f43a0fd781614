#pragma once
// Reads a YAML configuration so that every fault is found in one pass: each with file, line and what was expected.
// A Reader walks one mapping; whatever the caller did not ask for by the time it is destroyed is an unknown key.
//
//     auto document = yaml::Document::load(path);          // syntax errors end here
//     yaml::Reader root = document->root();
//     config.store = root.text("store").value_or("signalbox.db");
//     for (yaml::Reader& cluster : root.list("clusters")) config.clusters.push_back(read_cluster(cluster));
//     root.finish();
//     if (auto status = document->status(); !status) …      // all faults, one per line

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>
#include <yaml-cpp/yaml.h>

#include "base/error.hpp"
#include "base/text.hpp"
#include "base/time.hpp"

namespace signalbox::yaml {

// Collects faults of one file; shared by the readers of its parts.
struct Faults {
    std::string file;
    std::vector<std::pair<int, std::string>> lines;  // 1-based line, message
    void add(int line, std::string message) { lines.emplace_back(line, std::move(message)); }
};

class Reader {
  public:
    Reader(const YAML::Node& node, std::string where, std::shared_ptr<Faults> faults);

    // Scalars. Absent: nullopt. Wrong type or out of range: a fault, and nullopt.
    std::optional<std::string> text(const std::string& key);
    std::optional<std::int64_t> integer(const std::string& key, std::int64_t min, std::int64_t max);
    std::optional<double> number(const std::string& key, double min, double max);
    std::optional<bool> boolean(const std::string& key);
    std::optional<base::Duration> duration(const std::string& key, base::Duration min, base::Duration max);
    std::optional<base::HostPort> address(const std::string& key);
    // One of the words; the fault names them all.
    std::optional<std::string> word(const std::string& key, const std::vector<std::string>& words);
    // A list of scalars.
    std::vector<std::string> texts(const std::string& key);
    // A mapping of scalars to scalars, in order.
    std::vector<std::pair<std::string, std::string>> pairs(const std::string& key);
    // A nested mapping; absent: nullopt.
    std::optional<Reader> mapping(const std::string& key);
    // A list of mappings; absent: empty.
    std::vector<Reader> list(const std::string& key);

    // The same, but absence is a fault and the result a harmless default.
    std::string need_text(const std::string& key);
    std::string need_name(const std::string& key);  // base::is_name
    base::HostPort need_address(const std::string& key);

    bool has(const std::string& key) const;
    // The 1-based line of the key's value, or of the mapping itself.
    int line(const std::string& key = {}) const;
    void fault(const std::string& key, std::string message);
    // Of the whole file, so far: whether a part is right by itself, before its fields are judged together.
    std::size_t fault_count() const { return faults_->lines.size(); }
    // Reports the keys that nobody asked for. Call it once, when all were read.
    void finish();

  private:
    YAML::Node get(const std::string& key);
    std::optional<std::string> scalar(const std::string& key, std::string_view expected);

    YAML::Node node_;
    std::string where_;
    std::shared_ptr<Faults> faults_;
    std::set<std::string> asked_;
};

// Remembers names and reports the second of two equal ones with both lines.
class UniqueNames {
  public:
    explicit UniqueNames(std::string what) : what_(std::move(what)) {}
    void add(Reader& reader, const std::string& key, const std::string& name);

  private:
    std::string what_;
    std::vector<std::pair<std::string, int>> seen_;
};

class Document {
  public:
    // At most 4 MiB. Errors: InvalidConfig, with the path and the reason, or "FILE:LINE: …" for a syntax error.
    static base::Result<Document> load(const std::string& path);
    static base::Result<Document> parse(const std::string& text, const std::string& file);

    Reader root();
    const std::string& file() const { return faults_->file; }
    // InvalidConfig with every fault found so far, sorted by line, one per line as "FILE:LINE: message"; else success.
    base::Status status() const;

  private:
    Document(const YAML::Node& node, std::shared_ptr<Faults> faults) : node_(node), faults_(std::move(faults)) {}
    YAML::Node node_;
    std::shared_ptr<Faults> faults_;
};

}  // namespace signalbox::yaml
