#include <algorithm>
#include <atomic>
#include <csignal>
#include <filesystem>
#include <map>
#include <set>

#include "adapters/iceberg/folder_watch.hpp"
#include "app/cmd_table.hpp"
#include "app/job_context.hpp"
#include "app/table_book.hpp"

namespace signalbox::app {
namespace {

namespace json = base::json;
namespace fs = std::filesystem;
using namespace std::chrono_literals;
using base::ErrorKind;
using base::fail;

constexpr base::Duration wait_max = 200ms;  // how soon a signal is heeded
constexpr std::size_t tables_max = 10'000;

struct Options : TableOptions {
    std::vector<std::string> selectors;
    std::size_t until_commits = 0;  // 0: until a signal
    double interval_s = 1;
};

std::atomic<bool> interrupted{false};

struct Followed {
    TableSource source;
    std::string folder_catalog;  // whose hints concern it; empty: polled alone
    std::string trouble;
    std::optional<base::WallTime> tick_at{};
};

// Follows tables in this process alone: what it learns is in a store of its own, and it runs no action.
class Follower {
  public:
    Follower(const Options& options, TableBook book, engine::TableLoopConfig config)
        : options_(options), book_(std::move(book)), loop_(*book_.store, *book_.journal, std::move(config)) {}

    base::Status add(const std::string& selector, const Config& config);
    base::Result<int> run();

  private:
    base::Status add_folder(const std::string& folder);
    void add_new_of(const iceberg::FolderConfig& folder);
    base::Status begin();
    base::Status look(Followed& table, bool first);
    base::Status tick(Followed& table);
    void take_hints(const std::vector<ports::TableHint>& hints);
    base::Status look_at_due(bool all);
    void show(const engine::TableLook& look);
    void show(const engine::AlarmChange& change);
    void show_trouble(Followed& table, const std::string& trouble);
    void line(const json::object& object, const std::string& text) const;
    bool done() const { return interrupted || (options_.until_commits > 0 && commits_ >= options_.until_commits); }

    const Options& options_;
    TableBook book_;
    engine::TableLoop loop_;
    std::vector<iceberg::FolderConfig> folders_;
    std::vector<Followed> tables_;
    std::set<std::size_t> due_;
    std::size_t commits_ = 0;
};

void Follower::line(const json::object& object, const std::string& text) const {
    print(options_.as_json() ? json::serialize(object) + "\n" : text);
}

base::Status Follower::add_folder(const std::string& folder) {
    std::vector<std::string> faults;
    SB_TRY(auto sources, sources_below(folder, faults));
    for (const auto& fault : faults) std::fprintf(stderr, "signalbox: %s\n", fault.c_str());
    iceberg::FolderConfig config;
    config.name = fmt::format("{}", folders_.size());
    config.path = folder;
    for (TableSource& source : sources) tables_.push_back({std::move(source), config.name, ""});
    folders_.push_back(std::move(config));
    return {};
}

base::Status Follower::add(const std::string& selector, const Config& config) {
    if (!is_path(selector)) {
        SB_TRY(TableSource source, named_source(config, selector));
        tables_.push_back({std::move(source), "", ""});
    } else {
        std::error_code ignored;
        if (fs::is_regular_file(selector, ignored))
            return fail(ErrorKind::InvalidArgument, "{}: a metadata file never changes; give the table's folder",
                        selector);
        const fs::path path = fs::absolute(selector).lexically_normal();
        const fs::path plain = path.has_filename() ? path : path.parent_path();
        SB_CHECK(add_folder((plain.filename() == "metadata" ? plain.parent_path() : plain).string()));
    }
    if (tables_.size() <= tables_max) return {};
    return fail(ErrorKind::NotSupported, "{} tables are too many to follow here; at most {}: run `signalbox serve`",
                tables_.size(), tables_max);
}

// Tables that were made below the folder since.
void Follower::add_new_of(const iceberg::FolderConfig& folder) {
    std::vector<std::string> faults;
    auto sources = sources_below(folder.path, faults);
    if (!sources) return;
    for (TableSource& source : *sources) {
        const bool known = std::any_of(tables_.begin(), tables_.end(), [&](const Followed& table) {
            return table.folder_catalog == folder.name && table.source.name == source.name;
        });
        if (known || tables_.size() >= tables_max) continue;
        tables_.push_back({std::move(source), folder.name, ""});
        due_.insert(tables_.size() - 1);
    }
}

void Follower::show(const engine::AlarmChange& change) {
    const auto& transition = change.transition;
    const std::string from(to_string(transition.from));
    const std::string to(to_string(transition.to));
    line({{"type", "alarm"},
          {"alarm", change.alarm},
          {"table", change.table},
          {"from", from},
          {"to", to},
          {"at", base::format_time(transition.at)},
          {"text", transition.text},
          {"evidence", transition.evidence}},
         fmt::format("{} {} alarm {}: {} -> {}: {}\n", base::format_time(transition.at), change.table, change.alarm,
                     from, to, transition.text));
}

void Follower::show(const engine::TableLook& look) {
    for (const auto& record : look.reported) {
        json::object object{{"type", is_commit(record) ? "commit" : "event"}};
        for (const auto& [key, value] : commit_json(record)) object[key] = value;
        line(object, commit_line(record));
        if (is_commit(record)) ++commits_;
    }
    for (const auto& change : look.changes) show(change);
}

void Follower::show_trouble(Followed& table, const std::string& trouble) {
    if (table.trouble == trouble) return;
    table.trouble = trouble;
    const std::string text = trouble.empty() ? "can be read again" : trouble;
    line({{"type", "trouble"},
          {"table", table.source.name},
          {"trouble", trouble.empty() ? json::value(nullptr) : json::value(trouble)}},
         fmt::format("{} {} trouble: {}\n", base::format_time(wall_clock()), table.source.name, text));
}

base::Status Follower::look(Followed& table, bool first) {
    ports::TableVersion seen;
    SB_TRY(const auto read, read_source(table.source, seen));
    if (!read) {
        table.source.known = std::move(seen);
        return {};
    }
    Progress progress;
    SB_TRY(const auto look, loop_.look(table.source.name, read->metadata, read->metadata_location, *read->reader,
                                       wall_clock(), show_reading(progress, table.source.name)));
    progress.clear();
    table.source.known = std::move(seen);
    SB_TRY(table.tick_at, loop_.next_tick(table.source.name, wall_clock()));
    if (!first) {
        show(look);
        return {};
    }
    // What was there before is where it begins; alarms have learned from it.
    const auto* snapshot = read->metadata.current_snapshot();
    const std::string from =
        snapshot == nullptr ? "nothing was committed yet"
                            : fmt::format("snapshot {} of {}", snapshot->id, timestamp_text(snapshot->timestamp_ms));
    line({{"type", "following"},
          {"table", table.source.name},
          {"snapshot_id", snapshot == nullptr ? json::value(nullptr) : json::value(snapshot->id)},
          {"commits_before", look.reported.size()}},
         fmt::format("{} {} following, from {}\n", base::format_time(wall_clock()), table.source.name, from));
    return {};
}

base::Status Follower::tick(Followed& table) {
    const auto now = wall_clock();
    if (!table.tick_at || *table.tick_at > now) return {};
    SB_TRY(const auto ticked, loop_.tick(table.source.name, now));
    for (const auto& change : ticked.changes) show(change);
    SB_TRY(table.tick_at, loop_.next_tick(table.source.name, now));
    return {};
}

base::Status Follower::begin() {
    const bool alone = tables_.size() == 1;
    for (Followed& table : tables_) {
        if (interrupted) return {};
        auto status = look(table, true);
        // A wrong path is told at once; one table of many does not end the others.
        if (!status && alone) return status;
        if (!status) show_trouble(table, status.error().text());
    }
    return {};
}

void Follower::take_hints(const std::vector<ports::TableHint>& hints) {
    for (const auto& hint : hints) {
        for (std::size_t i = 0; i < tables_.size(); ++i) {
            const bool meant = tables_[i].folder_catalog == hint.catalog &&
                               (hint.table.empty() || hint.table == tables_[i].source.table);
            if (meant && !hint.catalog.empty()) due_.insert(i);
        }
        for (const auto& folder : folders_) {
            const bool unknown = std::none_of(tables_.begin(), tables_.end(), [&](const Followed& table) {
                return table.folder_catalog == hint.catalog && table.source.table == hint.table;
            });
            if (folder.name == hint.catalog && unknown) add_new_of(folder);
        }
    }
}

base::Status Follower::look_at_due(bool all) {
    for (std::size_t i = 0; i < tables_.size() && !done(); ++i) {
        if (!all && due_.count(i) == 0) continue;
        Followed& table = tables_[i];
        // What a new table was made with is news.
        const auto status = look(table, false);
        show_trouble(table, status ? "" : status.error().text());
    }
    due_.clear();
    for (Followed& table : tables_) SB_CHECK(tick(table));
    return {};
}

base::Result<int> Follower::run() {
    // Before the first look, so that no commit falls between the two.
    iceberg::FolderWatch changes(folders_);
    SB_CHECK(begin());
    for (const auto& warning : changes.state().warnings) std::fprintf(stderr, "signalbox: %s\n", warning.c_str());
    const auto interval = std::chrono::duration<double>(options_.interval_s);
    auto polled = std::chrono::steady_clock::now();
    while (!done()) {
        take_hints(
            changes.wait(std::min<base::Duration>(wait_max, std::chrono::duration_cast<base::Duration>(interval))));
        const bool poll = std::chrono::steady_clock::now() - polled >= interval;
        if (poll) polled = std::chrono::steady_clock::now();
        SB_CHECK(look_at_due(poll));
    }
    return 0;
}

base::Result<int> watch(const Options& options) {
    std::signal(SIGINT, [](int) { interrupted = true; });
    std::signal(SIGTERM, [](int) { interrupted = true; });
    const bool names = !std::all_of(options.selectors.begin(), options.selectors.end(), is_path);
    SB_TRY(const Config config, config_for(options.source, names));
    engine::TableLoopConfig loop = config.watch;
    loop.actions.clear();
    SB_TRY(TableBook book, open_memory_book());
    Follower follower(options, std::move(book), std::move(loop));
    for (const std::string& selector : options.selectors) SB_CHECK(follower.add(selector, config));
    return follower.run();
}

}  // namespace

void register_table_watch(CLI::App& table, int& exit_status) {
    auto options = std::make_shared<Options>();
    auto* command =
        add_table_command(table, "watch",
                          "Follow tables here: a line for each commit as it comes, with what the alarms say of it. "
                          "Runs no action; the daemon is `signalbox serve`",
                          options, watch, exit_status);
    command->footer("--output json prints one JSON object a line. Ends with 0 on SIGINT and SIGTERM.");
    command->add_option("PATH|NAME", options->selectors, "Tables by name, tables' folders, or folders of tables")
        ->required();
    command->add_option("--until-commits", options->until_commits, "End after so many commits")
        ->check(CLI::Range(1, 1'000'000));
    command->add_option("--interval", options->interval_s, "Seconds between two looks where nothing tells of changes")
        ->check(CLI::Range(0.05, 3600.0))
        ->capture_default_str();
}

}  // namespace signalbox::app
