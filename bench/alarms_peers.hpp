#pragma once
// Models of published rules, to compare with. They look at rows per period and know nothing of a commit's operation.

#include <string>
#include <vector>

#include "alarms_world.hpp"

namespace signalbox::bench {

// An alarm that began.
struct Raised {
    base::WallTime at{};
    bool on_compaction = false;  // a compaction was in the period, or was the commit
    std::string alarm;
};

struct PeerRule {
    std::string name;
    bool seasonal = false;  // by hour of day, weekdays and weekends apart; else a rolling mean
    double k = 2;
    int days = 14;  // of training, up to the point
    int m = 1;      // so many periods in a row
};
// CloudWatch: a band of mean ± k standard deviations by season from up to two weeks (ANOMALY_DETECTION_BAND, whose
// default k is 2), missing data as missing. Grafana: avg_over_time ± k · stddev_over_time of the last week.
std::vector<PeerRule> peer_rules();

// The alarms of the measured month. Rows per hour (per day for a daily table).
std::vector<Raised> run_peer(const PeerRule& rule, const TableWorld& table);

}  // namespace signalbox::bench
