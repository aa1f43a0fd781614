#pragma once
// M out of N, with CloudWatch's four treatments of missing data ("Configuring how CloudWatch alarms treat missing
// data"). Pure arithmetic on the last data.

#include <vector>

#include "domain/alarms/alarm.hpp"

namespace signalbox::alarms {

// The state after these data, the newest last, of which up to n + evaluation_extra count: the newest n real ones if
// there are as many; else `missing` says what stands in for the rest. Data from before the alarm was first asked are
// not there and are not filled in.
AlarmState evaluate(const std::vector<Datum>& data, int m, int n, MissingData missing, AlarmState current);

}  // namespace signalbox::alarms
