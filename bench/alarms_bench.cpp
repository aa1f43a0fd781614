// Measures the alarms. `alarms_bench faults SEED TABLES`: made-up commit series with known faults, our default alarms
// beside models of published rules; JSON on stdout. `alarms_bench nab FOLDER OUT`: the scores of our band over each
// series of the Numenta Anomaly Benchmark, for bench/nab.py.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <map>
#include <string>

#include "alarms_peers.hpp"
#include "alarms_world.hpp"
#include "base/json.hpp"
#include "base/text.hpp"
#include "domain/alarms/alarm.hpp"

namespace signalbox::bench {
namespace {

namespace json = base::json;
using alarms::AlarmConfig;
using alarms::AlarmMemory;
using alarms::AlarmState;
using alarms::CommitFact;
using base::WallTime;

// What the engine does with one commit: the fact, the point of its metric, and the ticks that are due before it.
class OurAlarm {
  public:
    explicit OurAlarm(AlarmConfig config) : config_(std::move(config)) {}

    void commit(const CommitFact& fact, std::vector<Raised>& raised) {
        tick_until(fact.commit.at, raised);
        now_ = fact.commit.at;
        const bool rewrite = fact.kind == alarms::PointClass::Rewrite;
        note(alarms::step(config_, memory_, fact, now_), rewrite, raised);
        if (!fact.added_records) return;
        const alarms::Point point{fact.commit.at, *fact.added_records, fact.kind};
        note(alarms::step(config_, memory_, alarms::MetricPoint{"snapshot.added_records", point, fact.commit}, now_),
             rewrite, raised);
    }

    void tick_until(WallTime until, std::vector<Raised>& raised) {
        while (true) {
            const auto due = alarms::next_due(config_, memory_, now_);
            if (!due || *due >= until) return;
            now_ = std::max(*due, now_ + std::chrono::nanoseconds(1));
            note(alarms::step(config_, memory_, alarms::Tick{}, now_), false, raised);
        }
    }

  private:
    void note(const std::optional<alarms::Transition>& transition, bool rewrite, std::vector<Raised>& raised) const {
        if (transition && transition->to == AlarmState::Alarm) raised.push_back({now_, rewrite, config_.name});
    }

    AlarmConfig config_;
    AlarmMemory memory_;
    WallTime now_{};
};

std::vector<Raised> run_ours(const TableWorld& table) {
    std::vector<Raised> raised;
    for (const AlarmConfig& config : alarms::default_alarms()) {
        OurAlarm alarm(config);
        for (const CommitFact& fact : table.commits) alarm.commit(fact, raised);
        alarm.tick_until(table.end, raised);
    }
    std::sort(raised.begin(), raised.end(), [](const Raised& a, const Raised& b) { return a.at < b.at; });
    return raised;
}

struct Tally {
    int faults = 0;
    int found = 0;
    int raised_false = 0;
    int on_compaction = 0;
    int tables = 0;
    std::map<std::string, std::pair<int, int>> by_kind;  // found, of
    std::map<std::string, int> false_by;                 // alarm and personality

    void add(const TableWorld& table, const std::vector<Raised>& raised) {
        ++tables;
        for (const Fault& fault : table.faults) {
            const bool hit = std::any_of(raised.begin(), raised.end(), [&fault](const Raised& alarm) {
                return fault.from <= alarm.at && alarm.at <= fault.until && !alarm.on_compaction;
            });
            auto& [of_found, of_all] =
                by_kind[fmt::format("{} {}", to_string(fault.kind), to_string(table.personality))];
            ++of_all;
            of_found += hit ? 1 : 0;
            ++faults;
            found += hit ? 1 : 0;
        }
        for (const Raised& alarm : raised) {
            if (alarm.at < table.measured_from) continue;
            if (alarm.on_compaction) ++on_compaction;
            const bool named = std::any_of(table.faults.begin(), table.faults.end(), [&alarm](const Fault& fault) {
                return fault.from <= alarm.at && alarm.at <= fault.until;
            });
            if (named) continue;
            ++raised_false;
            ++false_by[fmt::format("{} {}", alarm.alarm, to_string(table.personality))];
        }
    }

    json::object to_json(const std::string& name) const {
        json::object kinds;
        for (const auto& [kind, counts] : by_kind) kinds[kind] = json::array{counts.first, counts.second};
        json::object alarms;
        for (const auto& [alarm, count] : false_by) alarms[alarm] = count;
        return {{"name", name},
                {"tables", tables},
                {"faults", faults},
                {"found", found},
                {"false", raised_false},
                {"on_compaction", on_compaction},
                {"by_kind", std::move(kinds)},
                {"false_by", std::move(alarms)}};
    }
};

int run_faults(std::uint64_t seed, int tables) {
    base::Prng prng(seed);
    Tally ours;
    std::vector<Tally> peers(peer_rules().size());
    std::int64_t commits = 0;
    std::chrono::nanoseconds spent{};
    for (int i = 0; i < tables; ++i) {
        const TableWorld table = make_table(prng, static_cast<Personality>(i % personalities));
        commits += static_cast<std::int64_t>(table.commits.size());
        const auto before = std::chrono::steady_clock::now();
        const std::vector<Raised> raised = run_ours(table);
        spent += std::chrono::steady_clock::now() - before;
        ours.add(table, raised);
        for (std::size_t j = 0; j < peers.size(); ++j) peers[j].add(table, run_peer(peer_rules()[j], table));
    }
    json::array list{ours.to_json("signalbox")};
    for (std::size_t j = 0; j < peers.size(); ++j) list.push_back(peers[j].to_json(peer_rules()[j].name));
    fmt::print("{}\n", base::pretty_json(json::object{
                           {"seed", seed},
                           {"commits", commits},
                           {"us_per_commit", static_cast<double>(spent.count()) / 1e3 / static_cast<double>(commits)},
                           {"detectors", std::move(list)}}));
    return 0;
}

std::optional<WallTime> nab_time(std::string text) {
    if (text.size() < 19) return std::nullopt;
    text[10] = 'T';
    const auto time = base::parse_time(text.substr(0, 19) + "Z");
    return time ? std::optional<WallTime>(*time) : std::nullopt;
}

// One series: "timestamp,value" in, "score" out, a line per point.
int run_series(const std::filesystem::path& from, const std::filesystem::path& to) {
    std::ifstream in(from);
    std::filesystem::create_directories(to.parent_path());
    std::ofstream out(to);
    std::string line;
    std::getline(in, line);
    alarms::Band band;
    while (std::getline(in, line)) {
        const auto parts = base::split(line, ',');
        const auto at = parts.size() < 2 ? std::nullopt : nab_time(std::string(parts[0]));
        const auto value = parts.size() < 2 ? std::nullopt : base::parse_double(base::trim(parts[1]));
        if (!at || !value) {
            fmt::print(stderr, "{}: not a line of time and value: {}\n", from.string(), line);
            return 3;
        }
        const alarms::BandVerdict verdict = band.step({*at, *value, alarms::PointClass::Change});
        out << fmt::format("{},{:.6f},{}\n", parts[0], verdict.learning ? 0 : verdict.score, verdict.outside ? 1 : 0);
    }
    return 0;
}

int run_nab(const std::filesystem::path& folder, const std::filesystem::path& out) {
    const std::filesystem::path data = folder / "data";
    for (const auto& entry : std::filesystem::recursive_directory_iterator(data)) {
        if (entry.path().extension() != ".csv") continue;
        if (const int code = run_series(entry.path(), out / std::filesystem::relative(entry.path(), data)); code != 0)
            return code;
    }
    return 0;
}

}  // namespace
}  // namespace signalbox::bench

int main(int argc, char** argv) {
    using namespace signalbox;
    const std::vector<std::string> words(argv + 1, argv + argc);
    if (words.size() == 3 && words[0] == "faults") {
        const auto seed = base::parse_uint(words[1]);
        const auto tables = base::parse_int(words[2]);
        if (seed && tables && *tables > 0 && *tables <= 100'000)
            return bench::run_faults(*seed, static_cast<int>(*tables));
    }
    if (words.size() == 3 && words[0] == "nab") return bench::run_nab(words[1], words[2]);
    fmt::print(stderr, "usage: alarms_bench faults SEED TABLES | alarms_bench nab FOLDER OUT\n");
    return 2;
}
