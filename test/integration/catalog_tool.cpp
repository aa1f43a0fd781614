// The catalogs of a configuration file as their port shows them, for test_catalogs.py: one JSON question a line on
// stdin, one JSON answer a line on stdout. Usage: catalog_tool CONFIG

#include <chrono>
#include <iostream>
#include <map>
#include <thread>

#include "app/catalogs.hpp"
#include "base/json.hpp"
#include "domain/lake/metadata.hpp"

namespace signalbox {
namespace {

namespace json = base::json;
using Catalogs = std::map<std::string, std::unique_ptr<ports::TableCatalog>>;

json::object to_json(const base::Error& error) {
    return {{"error", base::to_string(error.kind)}, {"text", error.text()}, {"code", error.code}};
}

std::string text_of(const json::object& object, std::string_view key) {
    const json::value* value = object.if_contains(key);
    return value != nullptr && value->is_string() ? std::string(value->as_string()) : std::string();
}

ports::TableVersion version_of(const json::object& question) {
    ports::TableVersion version;
    if (const json::value* known = question.if_contains("known")) {
        version.metadata_location = text_of(known->as_object(), "metadata_location");
        version.etag = text_of(known->as_object(), "etag");
    }
    return version;
}

json::object list(ports::TableCatalog& catalog) {
    const auto listing = catalog.list();
    if (!listing) return to_json(listing.error());
    json::array tables;
    json::array faults;
    for (const auto& table : listing->tables) {
        tables.push_back(json::object{{"name", table.name}, {"metadata_location", table.metadata_location}});
    }
    for (const auto& fault : listing->faults) faults.emplace_back(fault);
    return {{"tables", tables}, {"faults", faults}};
}

json::object look(ports::TableCatalog& catalog, const std::string& table, const ports::TableVersion& known) {
    const auto version = catalog.look(table, known);
    if (!version) return to_json(version.error());
    return {{"metadata_location", version->metadata_location},
            {"etag", version->etag},
            {"unchanged", version->unchanged},
            {"has_text", !version->metadata_text.empty()}};
}

// What the engine's loop does with a table that changed, down to the size of its manifest list.
json::object load(ports::TableCatalog& catalog, const std::string& table, const ports::TableVersion& known) {
    const auto version = catalog.look(table, known);
    if (!version) return to_json(version.error());
    const auto text = catalog.metadata(table, *version);
    if (!text) return to_json(text.error());
    const auto parsed = lake::parse_table_metadata(text->text);
    if (!parsed) return to_json(parsed.error());
    json::object answer{{"metadata_location", version->metadata_location},
                        {"etag", version->etag},
                        {"uuid", parsed->table_uuid},
                        {"location", parsed->location},
                        {"snapshots", parsed->snapshots.size()}};
    const auto files = catalog.files(*version, parsed->location);
    if (!files) return to_json(files.error());
    const auto* snapshot = parsed->current_snapshot();
    if (snapshot == nullptr) return answer;
    const auto content = (*files)->read(snapshot->manifest_list, std::uint64_t{1} << 30);
    if (!content) return to_json(content.error());
    answer["snapshot_id"] = snapshot->id;
    answer["manifest_list_bytes"] = content->size();
    answer["files_requests"] = (*files)->counters().requests;
    answer["files_bytes"] = (*files)->counters().bytes;
    return answer;
}

// As many looks at once, from threads of their own.
json::object looks(ports::TableCatalog& catalog, const std::string& table, int threads, int each) {
    std::map<std::string, std::int64_t> seen;
    std::mutex mutex;
    std::vector<std::thread> running;
    running.reserve(static_cast<std::size_t>(threads));
    for (int i = 0; i < threads; ++i) {
        running.emplace_back([&] {
            for (int j = 0; j < each; ++j) {
                const auto version = catalog.look(table, {});
                const std::string what =
                    version ? version->metadata_location : std::string(base::to_string(version.error().kind));
                const std::lock_guard guard(mutex);
                ++seen[what];
            }
        });
    }
    for (auto& thread : running) thread.join();
    json::object answer;
    for (const auto& [what, count] : seen) answer[what] = count;
    return {{"seen", answer}};
}

json::object wait(ports::TableChanges& changes, std::int64_t max_ms) {
    json::array hints;
    for (const auto& hint : changes.wait(std::chrono::milliseconds(max_ms))) {
        hints.push_back(json::object{{"catalog", hint.catalog}, {"table", hint.table}});
    }
    const auto at = std::chrono::system_clock::now().time_since_epoch();
    const auto state = changes.state();
    json::array warnings;
    for (const auto& warning : state.warnings) warnings.emplace_back(warning);
    return {{"hints", hints},
            {"at", std::chrono::duration<double>(at).count()},
            {"folders", state.folders},
            {"unwatched", state.unwatched},
            {"warnings", warnings}};
}

json::object answer(const json::object& question, const Catalogs& catalogs, ports::TableChanges& changes) {
    const std::string what = text_of(question, "do");
    const auto number = [&](std::string_view key) { return question.at(key).to_number<std::int64_t>(); };
    if (what == "wait") return wait(changes, number("max_ms"));
    ports::TableCatalog& catalog = *catalogs.at(text_of(question, "catalog"));
    const std::string table = text_of(question, "table");
    const auto began = std::chrono::steady_clock::now();
    json::object result;
    if (what == "list") result = list(catalog);
    if (what == "look") result = look(catalog, table, version_of(question));
    if (what == "load") result = load(catalog, table, version_of(question));
    if (what == "looks") {
        result = looks(catalog, table, static_cast<int>(number("threads")), static_cast<int>(number("each")));
    }
    result["ms"] = base::to_ms(std::chrono::steady_clock::now() - began);
    result["requests"] = catalog.counters().requests;
    result["bytes"] = catalog.counters().bytes;
    return result;
}

int run(const std::string& file) {
    auto document = yaml::Document::load(file);
    if (!document) {
        std::cerr << document.error().text() << "\n";
        return 2;
    }
    auto root = document->root();
    const auto configs = app::read_catalogs(root, file, app::Secrets::Read);
    root.finish();
    if (const auto status = document->status(); !status) {
        std::cerr << status.error().text() << "\n";
        return 2;
    }
    Catalogs catalogs;
    for (const auto& config : configs) catalogs[config.name] = app::make_catalog(config);
    const auto changes = app::make_changes(configs);
    for (std::string line; std::getline(std::cin, line);) {
        const auto question = base::parse_json(line);
        if (!question) return 2;
        std::cout << json::serialize(answer(question->as_object(), catalogs, *changes)) << "\n" << std::flush;
    }
    return 0;
}

}  // namespace
}  // namespace signalbox

int main(int count, char** arguments) { return count == 2 ? signalbox::run(arguments[1]) : 2; }
