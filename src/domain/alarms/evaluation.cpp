#include "domain/alarms/evaluation.hpp"

#include <algorithm>

namespace signalbox::alarms {
namespace {

struct Counts {
    int real = 0;        // the newest, at most n
    int bad = 0;         // of them
    int fill = 0;        // what is missing to n
    int oldest_bad = 0;  // how many data ago, 1 is the newest; within the last n data; 0: none
};

Counts count(const std::vector<Datum>& data, int n) {
    Counts counts;
    const auto range = std::min<std::size_t>(data.size(), static_cast<std::size_t>(n + AlarmMemory::evaluation_extra));
    for (std::size_t age = 1; age <= range; ++age) {
        const Datum datum = data[data.size() - age];
        if (datum == Datum::Missing || counts.real == n) continue;
        ++counts.real;
        if (datum != Datum::Bad) continue;
        ++counts.bad;
        if (age <= static_cast<std::size_t>(n)) counts.oldest_bad = static_cast<int>(age);
    }
    counts.fill = std::max(0, std::min(n, static_cast<int>(range)) - counts.real);
    return counts;
}

AlarmState by_count(int bad, int m) { return bad >= m ? AlarmState::Alarm : AlarmState::Ok; }

}  // namespace

AlarmState evaluate(const std::vector<Datum>& data, int m, int n, MissingData missing, AlarmState current) {
    const Counts counts = count(data, n);
    if (counts.real == 0 && counts.fill == 0) return current;
    if (missing == MissingData::Breaching) return by_count(counts.bad + counts.fill, m);
    if (missing == MissingData::NotBreaching || counts.fill == 0 || counts.real >= m) return by_count(counts.bad, m);
    if (counts.real == 0) return missing == MissingData::Missing ? AlarmState::InsufficientData : current;
    if (counts.bad < counts.real) return AlarmState::Ok;
    // Nothing but bad ones, fewer than m of them.
    if (missing == MissingData::Ignore) return current;
    return counts.oldest_bad >= m ? AlarmState::Alarm : AlarmState::Ok;
}

}  // namespace signalbox::alarms
