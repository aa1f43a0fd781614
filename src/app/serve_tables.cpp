#include "app/serve_tables.hpp"

#include <algorithm>
#include <spdlog/spdlog.h>

#include "adapters/iceberg/table_reader.hpp"
#include "app/alarm_output.hpp"
#include "app/job_context.hpp"
#include "app/table_book.hpp"
#include "engine/sink_loop.hpp"

namespace signalbox::app {
namespace {

namespace json = base::json;
using base::ErrorKind;
using base::fail;
using base::Result;
using base::Status;

constexpr auto wait_max = std::chrono::seconds(1);
constexpr auto list_interval_max = std::chrono::minutes(5);
// A store that somebody else writes to, or another daemon that was quicker: so often the look is begun again.
constexpr int conflicts_max = 5;

// The table is still registered: a file of it that is missing is a fault, not an answer.
tl::unexpected<base::Error> still_there(base::Error error) {
    if (error.kind == ErrorKind::NotFound) error.kind = ErrorKind::Unavailable;
    return tl::unexpected<base::Error>(std::move(error));
}

base::MonoTime mono_now() { return base::MonoTime(std::chrono::steady_clock::now().time_since_epoch()); }

std::string whole_name(const lake::PollTable& table) { return table.catalog + "." + table.table; }

std::size_t looking_threads() { return std::clamp<std::size_t>(std::thread::hardware_concurrency(), 2, 8); }

lake::PollSettings poll_settings(const Config& config) {
    lake::PollSettings settings;
    // What is handed out is looked at at once: a few more than there are threads, so that none waits for the scheduler.
    settings.running_max = 2 * looking_threads();
    settings.running_catalog_max = settings.running_max;
    // One catalog that hangs must not hold the threads of the others.
    if (config.catalogs.size() > 1) settings.running_catalog_max = std::max<std::size_t>(1, looking_threads() / 2);
    for (const CatalogConfig& catalog : config.catalogs)
        settings.jitter = std::max(settings.jitter, catalog.poll_jitter);
    return settings;
}

}  // namespace

Result<std::unique_ptr<TableWatcher>> TableWatcher::start(const Config& config) {
    if (config.catalogs.empty()) return std::unique_ptr<TableWatcher>();
    std::unique_ptr<TableWatcher> watcher(new TableWatcher(config));
    SB_CHECK(watcher->open());
    TableWatcher* const self = watcher.get();
    for (Books& books : self->books_) self->threads_.emplace_back([self, &books] { self->work(books); });
    self->threads_.emplace_back([self] { self->schedule(); });
    self->threads_.emplace_back([self] { self->list_catalogs(); });
    return watcher;
}

TableWatcher::TableWatcher(const Config& config)
    : store_path_(config.store),
      loop_config_(std::make_shared<const engine::TableLoopConfig>(config.watch)),
      plan_(poll_settings(config), static_cast<std::uint64_t>(mono_now().time_since_epoch().count())) {
    for (const CatalogConfig& catalog : config.catalogs) catalogs_.push_back({catalog, make_catalog(catalog), {}, {}});
    changes_ = make_changes(config.catalogs);
}

Result<TableWatcher::Books> TableWatcher::open_books(const std::string& store) {
    SB_TRY(auto database, sqlite::Database::open(store));
    Books books;
    SB_TRY(books.store, sqlite::LakeStore::open(database));
    SB_TRY(books.journal, sqlite::JournalStore::open(database));
    return books;
}

Status TableWatcher::open() {
    SB_TRY(api_books_, open_books(store_path_));
    for (std::size_t i = 0; i < looking_threads(); ++i) {
        SB_TRY(Books books, open_books(store_path_));
        books_.push_back(std::move(books));
    }
    // What is known already is not read again.
    SB_TRY(const auto records, api_books_.store->list());
    for (const ports::TableRecord& record : records) {
        if (record.cursor) known_[record.name].metadata_location = record.cursor->metadata_location;
        set_tick(record.name, base::WallTime());
        // Known before the catalog is listed, so that its alarms are not deaf while the catalog is away.
        const std::size_t dot = record.name.find('.');
        const Catalog* catalog = dot == std::string::npos ? nullptr : catalog_of(record.name.substr(0, dot));
        if (catalog != nullptr) {
            plan_.add({catalog->config.name, record.name.substr(dot + 1)}, catalog->config.poll_interval, mono_now());
        }
        SB_CHECK(show_alarms(record.name));
        ports::CommitQuery newest;
        newest.table = record.name;
        newest.newest_first = true;
        newest.limit = 1;
        SB_TRY(const auto commits, api_books_.store->commits(newest));
        for (const ports::CommitRecord& commit : commits) SB_CHECK(page_.write(engine::points_of(commit)));
    }
    return {};
}

// How the alarms of a table stood when they were stored last.
Status TableWatcher::show_alarms(const std::string& name) {
    SB_TRY(const auto stored, stored_alarms(*api_books_.store, *loop_config_, name));
    std::vector<prometheus_text::AlarmFigure> figures;
    for (const StoredAlarm& alarm : stored) {
        if (alarm.config == nullptr) continue;
        prometheus_text::AlarmFigure figure;
        figure.alarm = alarm.alarm;
        figure.table = name;
        figure.metric = alarm.config->metric;
        figure.state = alarms::to_string(alarm.memory.state);
        figures.push_back(std::move(figure));
    }
    page_.set_alarms(name, std::move(figures));
    return {};
}

TableWatcher::~TableWatcher() {
    {
        const std::lock_guard guard(mutex_);
        end_ = true;
    }
    work_ready_.notify_all();
    list_due_.notify_all();
    changes_->interrupt();
    for (std::thread& thread : threads_) thread.join();
}

void TableWatcher::configure(const Config& config) {
    const std::lock_guard guard(mutex_);
    loop_config_ = std::make_shared<const engine::TableLoopConfig>(config.watch);
}

std::shared_ptr<const engine::TableLoopConfig> TableWatcher::loop_config() {
    const std::lock_guard guard(mutex_);
    return loop_config_;
}

TableWatcher::Catalog* TableWatcher::catalog_of(const std::string& name) {
    const auto found =
        std::find_if(catalogs_.begin(), catalogs_.end(), [&](const Catalog& c) { return c.config.name == name; });
    return found == catalogs_.end() ? nullptr : &*found;
}

// The scheduler's thread. It never waits for a catalog.
void TableWatcher::schedule() {
    for (;;) {
        const base::Duration pause = hand_out(mono_now());
        {
            const std::lock_guard guard(mutex_);
            if (end_) return;
        }
        take_hints(changes_->wait(pause), mono_now());
        const std::lock_guard guard(mutex_);
        if (end_) return;
    }
}

// A thread of its own: a catalog may take its whole time-out to be listed.
void TableWatcher::list_catalogs() {
    std::unique_lock lock(mutex_);
    while (!end_) {
        for (Catalog& catalog : catalogs_) {
            if (end_ || catalog.list_at > mono_now()) continue;
            lock.unlock();
            list_catalog(catalog);
            changes_->interrupt();
            lock.lock();
            catalog.list_at = mono_now() + std::min<base::Duration>(catalog.config.poll_interval, list_interval_max);
        }
        list_due_.wait_for(lock, wait_max, [this] {
            const base::MonoTime now = mono_now();
            return end_ ||
                   std::any_of(catalogs_.begin(), catalogs_.end(), [&](const Catalog& c) { return c.list_at <= now; });
        });
    }
}

void TableWatcher::list_catalog(Catalog& catalog) {
    auto listing = catalog.port->list();
    std::string trouble;
    if (!listing) {
        trouble = listing.error().text();
    } else if (!listing->faults.empty()) {
        trouble = fmt::format("{} ({} faults in all)", listing->faults.front(), listing->faults.size());
    }
    if (trouble != catalog.trouble && !trouble.empty()) spdlog::warn("catalog {}: {}", catalog.config.name, trouble);
    if (trouble != catalog.trouble && trouble.empty())
        spdlog::info("catalog {} can be listed again", catalog.config.name);
    catalog.trouble = trouble;
    if (!listing) return;
    const std::lock_guard guard(mutex_);
    for (const ports::TableRef& table : listing->tables) {
        plan_.add({catalog.config.name, table.name}, catalog.config.poll_interval, mono_now());
    }
}

void TableWatcher::take_hints(const std::vector<ports::TableHint>& hints, base::MonoTime now) {
    for (const ports::TableHint& hint : hints) {
        if (hint.table.empty()) {
            for (Catalog& catalog : catalogs_) {
                if (!hint.catalog.empty() && hint.catalog != catalog.config.name) continue;
                const std::lock_guard guard(mutex_);
                catalog.list_at = {};
                list_due_.notify_all();
                plan_.wake_catalog(catalog.config.name, now);
            }
            continue;
        }
        Catalog* catalog = catalog_of(hint.catalog);
        if (catalog == nullptr) continue;
        const std::lock_guard guard(mutex_);
        // A table that is not listed yet is looked at all the same: the look tells whether there is one.
        if (plan_.wake({hint.catalog, hint.table})) continue;
        plan_.add({hint.catalog, hint.table}, catalog->config.poll_interval, now);
    }
}

// Hands out what is due; returns how long nothing else will be.
base::Duration TableWatcher::hand_out(base::MonoTime now) {
    const base::WallTime wall = wall_clock();
    const std::lock_guard guard(mutex_);
    base::Duration pause = wait_max;
    while (!ticks_.empty() && ticks_.begin()->first <= wall) {
        const std::string name = ticks_.begin()->second;
        set_tick(name, std::nullopt);
        stepped_.erase(name);
        // The look that follows steps the alarms, too.
        const std::size_t dot = name.find('.');
        if (dot != std::string::npos) plan_.wake({name.substr(0, dot), name.substr(dot + 1)});
    }
    if (!ticks_.empty()) pause = std::min(pause, ticks_.begin()->first - wall);
    for (lake::PollTable& table : plan_.take(now)) queue_.push_back(std::move(table));
    if (!queue_.empty()) work_ready_.notify_all();
    if (const auto next = plan_.next_at()) pause = std::min(pause, std::max(base::Duration::zero(), *next - now));
    return pause;
}

// A looking thread.
void TableWatcher::work(Books& books) {
    for (;;) {
        lake::PollTable table;
        {
            std::unique_lock lock(mutex_);
            work_ready_.wait(lock, [this] { return end_ || !queue_.empty(); });
            if (end_) return;
            table = std::move(queue_.front());
            queue_.pop_front();
        }
        look_at(books, table);
    }
}

// Keeps what is wrong with a table, once per change.
void TableWatcher::note(engine::TableLoop& loop, const std::string& name, const std::string& trouble) {
    {
        const std::lock_guard guard(mutex_);
        const auto noted = noted_.find(name);
        if (noted != noted_.end() && noted->second == trouble) return;
    }
    if (const auto status = loop.note_trouble(name, trouble, wall_clock()); !status) {
        spdlog::warn("table {}: {}", name, status.error().text());
        return;
    }
    const std::lock_guard guard(mutex_);
    noted_[name] = trouble;
}

// What a look came to; an exception (no memory for a huge file) is a failure of this table's look, not of the daemon.
Status TableWatcher::try_look(engine::TableLoop& loop, const lake::PollTable& table, std::string& trouble) {
    Catalog* catalog = catalog_of(table.catalog);
    try {
        for (int attempt = 1;; ++attempt) {
            trouble.clear();
            Status status = look_once(loop, *catalog, table, trouble);
            if (status || status.error().kind != ErrorKind::Conflict || attempt == conflicts_max) return status;
        }
    } catch (const std::exception& error) {
        return fail(ErrorKind::Unavailable, "{}", error.what());
    }
}

void TableWatcher::look_at(Books& books, const lake::PollTable& table) {
    const std::string name = whole_name(table);
    const auto config = loop_config();
    engine::TableLoop loop(*books.store, *books.journal, *config);
    std::string trouble;
    const Status status = try_look(loop, table, trouble);
    const bool gone = !status && status.error().kind == ErrorKind::NotFound;
    if (!status) trouble = gone ? "the catalog has no such table any more" : status.error().text();
    const auto stored = gone ? books.store->load(name) : Result<std::optional<ports::TableRecord>>();
    // Of a table that never was, nothing is kept.
    const bool known = !gone || (stored && *stored);
    if (known) note(loop, name, trouble);
    if (!status && known) {
        // Time passes for its alarms all the same: a table that can't be read is late, too.
        if (const auto ticked = tick(loop, name); !ticked) spdlog::warn("table {}: {}", name, ticked.error().text());
    }
    const std::lock_guard guard(mutex_);
    ++figures_.looks;
    if (!status) ++figures_.looks_failed;
    plan_.done(table, status ? lake::PollPlan::Outcome::Done : lake::PollPlan::Outcome::Failed, mono_now());
    if (gone) {
        // It is found again by a hint or the listing, should it come back; until then its alarms still wait for it.
        known_.erase(name);
        if (!known) plan_.remove(table);
    }
    changes_->interrupt();
}

Status TableWatcher::look_once(engine::TableLoop& loop, Catalog& catalog, const lake::PollTable& table,
                               std::string& trouble) {
    const std::string name = whole_name(table);
    ports::TableVersion known;
    {
        const std::lock_guard guard(mutex_);
        known = known_[name];
    }
    SB_TRY(ports::TableVersion version, catalog.port->look(table.table, known));
    // After a restart only the location is known; a catalog that has told a version knows better: a table that was
    // dropped and made anew may have its first file under the old name.
    const bool same = version.unchanged || (known.etag.empty() && !known.metadata_location.empty() &&
                                            version.metadata_location == known.metadata_location);
    if (!same) return read_table(loop, catalog, table, std::move(version), trouble);
    if (!is_stepped(name)) SB_CHECK(tick(loop, name));
    const std::lock_guard guard(mutex_);
    ++figures_.unchanged;
    trouble = part_trouble_[name];
    version.metadata_text.clear();
    version.unchanged = false;
    known_[name] = std::move(version);
    return {};
}

Status TableWatcher::read_table(engine::TableLoop& loop, Catalog& catalog, const lake::PollTable& table,
                                ports::TableVersion version, std::string& trouble) {
    const std::string name = whole_name(table);
    const base::MonoTime begun = mono_now();
    auto text = catalog.port->metadata(table.table, version);
    if (!text) return still_there(std::move(text.error()));
    auto metadata = lake::parse_table_metadata(text->text);
    if (!metadata) return in_context(metadata.error(), text->metadata_location);
    SB_TRY(const auto files, catalog.port->files(version, metadata->location));
    iceberg::TableReader reader(*files);
    auto look = loop.look(name, *metadata, text->metadata_location, reader, wall_clock(), {});
    if (!look) return still_there(std::move(look.error()));
    trouble = look->trouble;
    {
        const std::lock_guard guard(mutex_);
        part_trouble_[name] = trouble;
    }
    const base::WallTime now = wall_clock();
    tell(*look, name, now);
    {
        const std::lock_guard guard(mutex_);
        const ports::ReadCounters counters = files->counters();
        figures_.requests += counters.requests + 1;
        figures_.bytes += counters.bytes + text->bytes;
        figures_.manifests_read += look->manifests_read;
        figures_.manifests_known += look->manifests_known;
        figures_.look_s.observe(base::to_ms(mono_now() - begun) / 1000);
        version.metadata_text.clear();
        known_[name] = std::move(version);
    }
    // The alarms were stepped with the look; whatever they wait for, they are not asked again within the second.
    const std::lock_guard guard(mutex_);
    set_tick(name,
             look->next_tick ? std::optional(std::max(*look->next_tick, now + std::chrono::seconds(1))) : std::nullopt);
    return {};
}

// Steps the alarms that wait for time, and notes when the next one does.
Status TableWatcher::tick(engine::TableLoop& loop, const std::string& name) {
    const base::WallTime now = wall_clock();
    SB_TRY(const auto ticked, loop.tick(name, now));
    tell_alarms(ticked, name);
    const std::lock_guard guard(mutex_);
    set_tick(name, ticked.next_tick ? std::optional(std::max(*ticked.next_tick, now + std::chrono::seconds(1)))
                                    : std::nullopt);
    return {};
}

// Whether the table's alarms were stepped, and wait for nothing that is due.
bool TableWatcher::is_stepped(const std::string& name) {
    const std::lock_guard guard(mutex_);
    return stepped_.count(name) > 0;
}

void TableWatcher::set_tick(const std::string& name, std::optional<base::WallTime> at) {
    if (const auto before = tick_at_.find(name); before != tick_at_.end()) {
        ticks_.erase({before->second, name});
        tick_at_.erase(before);
    }
    stepped_.insert(name);
    if (!at) return;
    tick_at_[name] = *at;
    ticks_.emplace(*at, name);
}

void TableWatcher::tell(const engine::TableLook& look, const std::string& name, base::WallTime now) {
    for (const std::string& note : look.notes) spdlog::warn("table {}: {}", name, note);
    for (const ports::CommitRecord& commit : look.reported) {
        if (const auto points = engine::points_of(commit); !points.empty()) {
            // A page that is full leaves the table out and counts that.
            [[maybe_unused]] const auto written = page_.write(points);
        }
        if (!is_commit(commit)) continue;
        const std::lock_guard guard(mutex_);
        ++figures_.commits;
        const double seconds =
            base::to_ms(now.time_since_epoch()) / 1000 - static_cast<double>(commit.timestamp_ms) / 1000;
        figures_.latency_s.observe(std::max(0.0, seconds));
    }
    tell_alarms(look, name);
}

void TableWatcher::tell_alarms(const engine::TableLook& look, const std::string& name) {
    std::vector<prometheus_text::AlarmFigure> figures;
    for (const engine::AlarmStanding& alarm : look.alarms) {
        prometheus_text::AlarmFigure figure;
        figure.alarm = alarm.alarm;
        figure.table = name;
        figure.metric = alarm.metric;
        figure.state = alarms::to_string(alarm.state);
        figure.value = alarm.value;
        if (alarm.expected) {
            figure.lower = alarm.expected->low;
            figure.upper = alarm.expected->high;
        }
        figures.push_back(std::move(figure));
    }
    page_.set_alarms(name, std::move(figures));
    for (const engine::AlarmChange& change : look.changes) {
        const bool alarm = change.transition.to == alarms::AlarmState::Alarm && !change.silenced;
        spdlog::log(alarm ? spdlog::level::warn : spdlog::level::info, "table {}, alarm {}: {} ({})", change.table,
                    change.alarm, alarms::to_string(change.transition.to), change.transition.text);
    }
}

Status TableWatcher::look(const std::string& catalog, const std::string& table) {
    if (!catalog.empty() && catalog_of(catalog) == nullptr)
        return fail(ErrorKind::NotFound, "there is no catalog '{}'", catalog);
    if (catalog.empty() && !table.empty())
        return fail(ErrorKind::InvalidArgument, "a table is named together with its catalog");
    changes_->hint({catalog, table});
    return {};
}

Result<json::array> TableWatcher::tables() {
    SB_TRY(const auto records, api_books_.store->list());
    json::array items;
    for (const ports::TableRecord& record : records) items.push_back(table_json(record));
    return items;
}

Result<json::object> TableWatcher::table(const std::string& name) {
    SB_TRY(const auto record, api_books_.store->load(name));
    if (!record) return fail(ErrorKind::NotFound, "nothing is known of table '{}'", name);
    return table_json(*record);
}

Result<json::array> TableWatcher::commits(const ports::CommitQuery& query) {
    SB_TRY(const auto record, api_books_.store->load(query.table));
    if (!record) return fail(ErrorKind::NotFound, "nothing is known of table '{}'", query.table);
    SB_TRY(const auto commits, api_books_.store->commits(query));
    json::array items;
    for (const ports::CommitRecord& commit : commits) items.push_back(commit_json(commit));
    return items;
}

Result<json::array> TableWatcher::alarms() {
    SB_TRY(const auto records, api_books_.store->list());
    SB_TRY(const auto silences, stored_silences(*api_books_.store));
    const auto config = loop_config();
    const base::WallTime now = wall_clock();
    json::array items;
    for (const ports::TableRecord& record : records) {
        SB_TRY(auto stored, stored_alarms(*api_books_.store, *config, record.name));
        for (StoredAlarm& alarm : stored) {
            const auto* silence = alarms::silenced(silences, alarm.alarm, alarm.table, now);
            items.push_back(alarm_json({std::move(alarm), silence}));
        }
    }
    return items;
}

Status TableWatcher::acknowledge(const std::string& alarm, const std::string& table, const std::string& by,
                                 const std::string& note) {
    const auto config = loop_config();
    SB_TRY([[maybe_unused]] const StoredAlarm done,
           acknowledge_alarm(*api_books_.store, *config, alarm, table, {by, wall_clock(), note}));
    return {};
}

void TableWatcher::add_metrics(prometheus_text::Page& page) {
    using prometheus_text::Page;
    const auto count = [](std::uint64_t value) { return static_cast<double>(value); };
    const std::lock_guard guard(mutex_);
    page_.set_reading({{"all", figures_.requests, figures_.bytes}});
    page_.render(page);
    page.gauge("signalbox_tables", "Tables that are watched", {}, static_cast<double>(plan_.tables()));
    page.gauge("signalbox_tables_failing", "Tables whose last look failed", {}, static_cast<double>(plan_.failing()));
    page.gauge("signalbox_looks_running", "Looks under way", {}, static_cast<double>(plan_.running()));
    page.counter("signalbox_looks_total", "Looks at tables", {}, count(figures_.looks));
    page.counter("signalbox_looks_failed_total", "Looks that failed", {}, count(figures_.looks_failed));
    page.counter("signalbox_looks_unchanged_total", "Looks that found nothing new", {}, count(figures_.unchanged));
    page.counter("signalbox_commits_total", "Commits that were reported", {}, count(figures_.commits));
    page.counter("signalbox_manifests_read_total", "Manifests that were read", {}, count(figures_.manifests_read));
    page.counter("signalbox_manifests_known_total", "Manifests whose sums were kept from before", {},
                 count(figures_.manifests_known));
    page.histogram("signalbox_look_seconds", "Duration of looks that found something new", {}, figures_.look_s);
    page.histogram("signalbox_commit_latency_seconds", "From a commit's time to its report", {}, figures_.latency_s);
    const ports::WatchState state = changes_->state();
    page.gauge("signalbox_folders_watched", "Folders whose changes are noticed at once", {}, count(state.folders));
    page.gauge("signalbox_folders_polled", "Folders that could not be watched and are only polled", {},
               count(state.unwatched));
}

}  // namespace signalbox::app
