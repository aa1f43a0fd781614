#pragma once
// What the parts of an alarm's step share. Internal to this folder.

#include <optional>
#include <string>

#include "domain/alarms/alarm.hpp"

namespace signalbox::alarms {

// One datum, and why it is what it is.
struct Judged {
    Datum datum = Datum::Missing;
    bool alone = false;       // bad enough to alarm by itself
    bool occurrence = false;  // each bad one is an episode of its own
    std::string text;
    base::json::object evidence;
    Look look;
};

// "1,234,567", "0.25", "1.5e+30".
std::string number_text(double value);
// "snapshot 123 (append) at 2026-01-02T03:04:05.000Z by spark": what is known of it; empty for no commit.
std::string commit_text(const CommitRef& commit);
void add_commit(base::json::object& evidence, const CommitRef& commit);
// A time for people: "3h 10m", "2d 4h", "45s".
std::string span_text(base::Duration duration);

// Band and threshold: a point, or a period's value. Nothing while the band learns or the time is excluded (the look
// tells).
std::optional<Judged> judge_value(const AlarmConfig& config, AlarmMemory& memory, const Point& point,
                                  const CommitRef& commit, Look& look);
// Drift, rollback, deletion spike, schema changed, repeated. Nothing where the commit says nothing about it.
std::optional<Judged> judge_commit(const AlarmConfig& config, AlarmMemory& memory, const CommitFact& fact, Look& look);
// When the table is late if no commit comes; none: not known.
std::optional<base::WallTime> late_at(const AlarmConfig& config, const AlarmMemory& memory);

}  // namespace signalbox::alarms
