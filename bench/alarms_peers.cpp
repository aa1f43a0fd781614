#include "alarms_peers.hpp"

#include <cmath>
#include <deque>
#include <map>

namespace signalbox::bench {
namespace {

using base::WallTime;
using std::chrono::hours;

struct PeriodValue {
    WallTime start{};
    double rows = 0;
    bool compaction = false;
};

std::vector<PeriodValue> periods_of(const TableWorld& table, hours period) {
    std::map<WallTime, PeriodValue> periods;
    for (const alarms::CommitFact& fact : table.commits) {
        const WallTime start = fact.commit.at - fact.commit.at.time_since_epoch() % period;
        PeriodValue& value = periods[start];
        value.start = start;
        value.rows += fact.added_records.value_or(0);
        value.compaction = value.compaction || fact.kind == alarms::PointClass::Rewrite;
    }
    std::vector<PeriodValue> values;
    for (const auto& [start, value] : periods) values.push_back(value);
    return values;
}

bool weekend(WallTime at) {
    return (std::chrono::floor<std::chrono::days>(at).time_since_epoch().count() + 3) % 7 >= 5;
}

bool same_season(WallTime a, WallTime b, bool by_hour) {
    if (weekend(a) != weekend(b)) return false;
    return !by_hour || std::chrono::floor<hours>(a).time_since_epoch().count() % 24 ==
                           std::chrono::floor<hours>(b).time_since_epoch().count() % 24;
}

}  // namespace

std::vector<PeerRule> peer_rules() {
    return {{"CloudWatch's band, k 2, 1 of 1", true, 2, 14, 1},
            {"CloudWatch's band, k 3, 2 of 2", true, 3, 14, 2},
            {"Grafana's rolling mean, k 3, 7 days, 1 of 1", false, 3, 7, 1},
            {"Grafana's rolling mean, k 3, 7 days, 2 of 2", false, 3, 7, 2}};
}

std::vector<Raised> run_peer(const PeerRule& rule, const TableWorld& table) {
    const bool daily = table.personality == Personality::Daily;
    const std::vector<PeriodValue> values = periods_of(table, daily ? hours(24) : hours(1));
    std::vector<Raised> raised;
    bool in_alarm = false;
    int bad_run = 0;
    std::size_t first = 0;
    for (std::size_t i = 0; i < values.size(); ++i) {
        while (values[i].start - values[first].start > hours(24 * rule.days)) ++first;
        double n = 0;
        double sum = 0;
        double squares = 0;
        for (std::size_t j = first; j < i; ++j) {
            if (rule.seasonal && !same_season(values[j].start, values[i].start, !daily)) continue;
            n += 1;
            sum += values[j].rows;
            squares += values[j].rows * values[j].rows;
        }
        if (n < 3 || values[i].start < table.measured_from) continue;
        const double mean = sum / n;
        const double deviation = std::sqrt(std::max(0.0, (squares - n * mean * mean) / (n - 1)));
        const bool bad = std::abs(values[i].rows - mean) > rule.k * deviation;
        bad_run = bad ? bad_run + 1 : 0;
        const bool alarm = bad_run >= rule.m;
        if (alarm && !in_alarm)
            raised.push_back({values[i].start + (daily ? hours(24) : hours(1)), values[i].compaction, rule.name});
        in_alarm = alarm;
    }
    return raised;
}

}  // namespace signalbox::bench
