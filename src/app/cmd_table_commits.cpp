#include <algorithm>

#include "app/cmd_table.hpp"
#include "app/job_context.hpp"
#include "app/table_history.hpp"

namespace signalbox::app {
namespace {

struct Options : TableOptions {
    HistoryFilter filter;
    std::string since;
};

base::Result<TableHistory> history_of(const Options& options) {
    HistoryFilter filter = options.filter;
    if (!options.since.empty()) {
        SB_TRY(filter.since, parse_since(options.since, wall_clock()));
    }
    SB_TRY(const Config config, config_for(options.source, !is_path(options.selector)));
    return read_history(options.selector, config, filter);
}

std::string notes_text(const TableHistory& history) {
    std::string text;
    for (const std::string& note : history.notes) text += "Note: " + note + "\n";
    return text;
}

base::json::array notes_json(const TableHistory& history) {
    base::json::array notes;
    for (const std::string& note : history.notes) notes.emplace_back(note);
    return notes;
}

base::Result<int> commits(const Options& options) {
    SB_TRY(const TableHistory history, history_of(options));
    if (options.as_json()) {
        base::json::array items;
        for (const auto& record : history.records) items.push_back(commit_json(record));
        print(base::pretty_json({{"table", history.table},
                                 {"items", std::move(items)},
                                 {"more", history.more},
                                 {"notes", notes_json(history)}}));
        return 0;
    }
    std::string text = history.records.empty() ? "No commit that fits\n" : commits_text(history.records);
    if (history.more) text += fmt::format("these are the newest {}; --limit shows more\n", history.records.size());
    print(text + notes_text(history));
    return 0;
}

// A commit whose manifests could not be read: its summary was compared with nothing.
bool is_unread(const ports::CommitRecord& record) {
    const auto* change = record.data.if_contains("change");
    const auto* truth = change != nullptr && change->is_object() ? change->get_object().if_contains("truth") : nullptr;
    return truth != nullptr && truth->is_string() && std::string_view(truth->get_string()) == "unknown";
}

base::Result<int> drift(const Options& options) {
    SB_TRY(TableHistory history, history_of(options));
    const std::size_t looked_at = history.records.size();
    const auto unread = std::count_if(history.records.begin(), history.records.end(), is_unread);
    const auto newest = std::max_element(history.records.begin(), history.records.end(),
                                         [](const auto& a, const auto& b) { return a.sequence < b.sequence; });
    const bool newest_unread = newest != history.records.end() && is_unread(*newest);
    const std::string not_compared =
        unread == 0 ? "" : fmt::format("{} of them could not be read, and were not compared\n", unread);
    std::erase_if(history.records, [](const auto& record) {
        const auto* drift = record.data.if_contains("drift");
        return drift == nullptr || !drift->is_array() || drift->get_array().empty();
    });
    const std::size_t found = history.records.size();
    if (options.as_json()) {
        print(base::pretty_json({{"table", history.table},
                                 {"looked_at", looked_at},
                                 {"not_compared", unread},
                                 {"items", drift_json(history.records)},
                                 {"notes", notes_json(history)}}));
    } else if (found == 0) {
        print(fmt::format("{}: no summary contradicts its manifests, of {} commits and events\n", history.table,
                          looked_at) +
              not_compared + notes_text(history));
    } else {
        print(drift_text(history.records) +
              fmt::format("{} of {}: the summary is wrong; everything else here is computed from the manifests\n",
                          found, looked_at) +
              not_compared + notes_text(history));
    }
    // Old commits may have expired; of the newest one, unknown is no "no".
    if (found == 0 && newest_unread) return base::exit_code(base::ErrorKind::CorruptData);
    return found == 0 ? 0 : 1;
}

void add_filters(CLI::App& command, Options& options) {
    command.add_option("PATH|NAME", options.selector, selector_help)->required();
    command.add_option("--limit", options.filter.limit, "At most so many, the newest")
        ->check(CLI::Range(1, 100'000))
        ->capture_default_str();
    command.add_option("--since", options.since,
                       "Only since then: an age as 2h or 7d, or a time as 2026-01-31T08:00:00Z");
    command.add_option("--ref", options.filter.ref, "Only of this branch, as main");
}

}  // namespace

void register_table_commits(CLI::App& table, int& exit_status) {
    auto options = std::make_shared<Options>();
    options->filter.limit = 50;
    auto* command =
        add_table_command(table, "commits",
                          "What each commit did, from the manifests; also rollbacks and other events. A name: "
                          "what the daemon recorded. A path: what the metadata still has",
                          options, commits, exit_status);
    add_filters(*command, *options);
    command->add_option("--kind", options->filter.kind,
                        "Only of this kind: main, branch, staged, rolled-back, rollback, schema-changed…");

    auto drifting = std::make_shared<Options>();
    drifting->filter.limit = 100'000;
    command = add_table_command(table, "drift", "Commits whose summary their manifests contradict, field by field",
                                drifting, drift, exit_status);
    command->footer("Ends with 0 if no summary is wrong, with 1 if one is.");
    add_filters(*command, *drifting);
}

}  // namespace signalbox::app
