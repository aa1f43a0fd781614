#pragma once
// Tables, their commits and events as JSON for programs and as text for people. Pure.

#include <string>
#include <vector>

#include "base/json.hpp"
#include "ports/lake_store.hpp"

namespace signalbox::app {

base::json::object table_json(const ports::TableRecord& table);
// `now`: ages are told from it.
std::string tables_text(const std::vector<ports::TableRecord>& tables, base::WallTime now);

// What was reported as a commit, or as an event that is none.
bool is_commit(const ports::CommitRecord& record);
base::json::object commit_json(const ports::CommitRecord& record);
// A table of them, in their order.
std::string commits_text(const std::vector<ports::CommitRecord>& records);
// One line for a stream: when, which table, what it did, what is wrong with it.
std::string commit_line(const ports::CommitRecord& record);

// The commits whose summary the manifests contradict: a row per field.
std::string drift_text(const std::vector<ports::CommitRecord>& records);
base::json::array drift_json(const std::vector<ports::CommitRecord>& records);

// "1.5 GiB", "-12 KiB".
std::string size_text(double bytes);
// "3 min", "2 d": the age of something that happened then, as far as people care.
std::string age_text(base::WallTime then, base::WallTime now);
// A manifest's times come from another machine's clock; those that no calendar holds stay numbers.
std::string timestamp_text(std::int64_t timestamp_ms);

}  // namespace signalbox::app
