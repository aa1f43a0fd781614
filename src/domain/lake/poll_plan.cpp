#include "domain/lake/poll_plan.hpp"

#include <algorithm>

#include "base/assert.hpp"

namespace signalbox::lake {

using base::Duration;
using base::MonoTime;

namespace {

constexpr unsigned doublings_max = 30;

Duration part_of(Duration whole, double part) {
    return Duration(static_cast<Duration::rep>(static_cast<double>(whole.count()) * part));
}

}  // namespace

PollPlan::Entry* PollPlan::find(const PollTable& table) {
    const auto catalog = catalogs_.find(table.catalog);
    if (catalog == catalogs_.end()) return nullptr;
    const auto entry = catalog->second.entries.find(table.table);
    return entry == catalog->second.entries.end() ? nullptr : &entry->second;
}

void PollPlan::add(const PollTable& table, Duration interval, MonoTime now) {
    Catalog& catalog = catalogs_[table.catalog];
    const auto [found, fresh] = catalog.entries.try_emplace(table.table);
    Entry& entry = found->second;
    entry.interval = interval;
    if (fresh || entry.removed) ++tables_;
    entry.removed = false;
    if (!fresh) return;
    entry.due = now;
    catalog.waiting.emplace(now, table.table);
}

void PollPlan::remove(const PollTable& table) {
    Entry* entry = find(table);
    if (entry == nullptr || entry->removed) return;
    --tables_;
    if (entry->failures > 0) --failing_;
    entry->failures = 0;
    Catalog& catalog = catalogs_[table.catalog];
    catalog.waiting.erase({entry->due, table.table});
    std::erase(catalog.woken, table.table);
    entry->woken = false;
    entry->removed = true;
    if (entry->running) return;
    catalog.entries.erase(table.table);
    if (catalog.entries.empty()) catalogs_.erase(table.catalog);
}

bool PollPlan::wake(const PollTable& table) {
    Entry* entry = find(table);
    if (entry == nullptr || entry->removed) return false;
    if (entry->woken) return true;
    entry->woken = true;
    if (entry->running) return true;
    Catalog& catalog = catalogs_[table.catalog];
    catalog.waiting.erase({entry->due, table.table});
    catalog.woken.push_back(table.table);
    return true;
}

void PollPlan::wake_catalog(const std::string& name, MonoTime now) {
    const auto catalog = catalogs_.find(name);
    if (catalog == catalogs_.end()) return;
    for (auto& [table, entry] : catalog->second.entries) {
        if (entry.removed) continue;
        if (entry.running) entry.woken = true;
        // Before it in time: it keeps its turn.
        if (entry.running || entry.woken || entry.due <= now) continue;
        catalog->second.waiting.erase({entry.due, table});
        entry.due = now;
        catalog->second.waiting.emplace(now, table);
    }
}

// Catalogs are served in turn, beginning after the one that was served last.
template <typename Pick>
std::optional<PollTable> PollPlan::in_turn(std::string& turn, const Pick& pick) {
    auto next = catalogs_.upper_bound(turn);
    for (std::size_t i = 0; i < catalogs_.size(); ++i, ++next) {
        if (next == catalogs_.end()) next = catalogs_.begin();
        if (!has_room(next->second)) continue;
        if (auto table = pick(next->second)) {
            turn = next->first;
            return PollTable{next->first, std::move(*table)};
        }
    }
    return std::nullopt;
}

std::optional<PollTable> PollPlan::take_woken() {
    return in_turn(turn_woken_, [](Catalog& catalog) -> std::optional<std::string> {
        if (catalog.woken.empty()) return std::nullopt;
        std::string table = std::move(catalog.woken.front());
        catalog.woken.pop_front();
        return table;
    });
}

std::optional<PollTable> PollPlan::take_due(MonoTime now) {
    return in_turn(turn_due_, [now](Catalog& catalog) -> std::optional<std::string> {
        if (catalog.waiting.empty() || catalog.waiting.begin()->first > now) return std::nullopt;
        std::string table = catalog.waiting.begin()->second;
        catalog.waiting.erase(catalog.waiting.begin());
        return table;
    });
}

std::vector<PollTable> PollPlan::take(MonoTime now) {
    std::vector<PollTable> taken;
    while (running_ < settings_.running_max) {
        std::optional<PollTable> next;
        const bool owed = woken_in_row_ >= settings_.woken_in_row_max;
        if (!owed) next = take_woken();
        if (next) {
            ++woken_in_row_;
        } else {
            next = take_due(now);
            woken_in_row_ = 0;
            // Nothing was owed to anybody.
            if (!next && owed) continue;
        }
        if (!next) break;
        Catalog& catalog = catalogs_[next->catalog];
        Entry& entry = catalog.entries.at(next->table);
        entry.running = true;
        entry.woken = false;
        ++catalog.running;
        ++running_;
        taken.push_back(std::move(*next));
    }
    return taken;
}

Duration PollPlan::pause_after(Entry& entry, Outcome outcome) {
    const bool first = !entry.looked;
    entry.looked = true;
    if (outcome == Outcome::Failed) {
        const unsigned doublings = std::min(entry.failures++, doublings_max);
        if (entry.failures == 1) ++failing_;
        const double grown =
            static_cast<double>(settings_.backoff_min.count()) * static_cast<double>(1ULL << doublings);
        const double most = static_cast<double>(settings_.backoff_max.count());
        return part_of(Duration(static_cast<Duration::rep>(std::min(grown, most))), 0.5 + random_.unit() / 2);
    }
    if (entry.failures > 0) --failing_;
    entry.failures = 0;
    // All tables have their first look at once; from then on they spread over the interval.
    if (first) return part_of(entry.interval, random_.unit());
    return part_of(entry.interval, 1 + settings_.jitter * (2 * random_.unit() - 1));
}

void PollPlan::done(const PollTable& table, Outcome outcome, MonoTime now) {
    Entry* entry = find(table);
    SB_ASSERT(entry != nullptr && entry->running, "only what was taken is reported, once");
    Catalog& catalog = catalogs_[table.catalog];
    entry->running = false;
    --catalog.running;
    --running_;
    if (entry->removed) {
        catalog.entries.erase(table.table);
        if (catalog.entries.empty()) catalogs_.erase(table.catalog);
        return;
    }
    entry->due = now + pause_after(*entry, outcome);
    if (entry->woken) {
        catalog.woken.push_back(table.table);
    } else {
        catalog.waiting.emplace(entry->due, table.table);
    }
}

std::optional<MonoTime> PollPlan::next_at() const {
    if (running_ >= settings_.running_max) return std::nullopt;
    std::optional<MonoTime> next;
    for (const auto& [name, catalog] : catalogs_) {
        if (!has_room(catalog)) continue;
        if (!catalog.woken.empty()) return MonoTime::min();
        if (catalog.waiting.empty()) continue;
        const MonoTime due = catalog.waiting.begin()->first;
        if (!next || due < *next) next = due;
    }
    return next;
}

}  // namespace signalbox::lake
