#pragma once
// One alarm over one table: a configuration, what it remembers, and a step that may change its state. Pure: time comes
// in as an argument, the memory is a value that the store keeps. How each kind decides: docs/reference/bands.md.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "domain/alarms/band.hpp"
#include "domain/alarms/observation.hpp"
#include "domain/alarms/rhythm.hpp"

namespace signalbox::alarms {

enum class AlarmKind {
    Band,           // a metric leaves its learned range
    Threshold,      // a metric passes a fixed bound
    Late,           // no commit that changes data within the learned or given interval
    Drift,          // a commit's summary says what its manifests contradict
    Rollback,       // the table went back to an older snapshot
    DeletionSpike,  // a commit deletes more than this table's commits do
    SchemaChanged,  // schema, partition spec or sort order changed
    Repeated,  // a commit adds exactly what one shortly before it added, in a table where that is rare: loaded twice
};
enum class Comparison { GreaterThan, GreaterOrEqual, LessThan, LessOrEqual };
// How a period without a point counts, with CloudWatch's four meanings ("Configuring how CloudWatch alarms treat
// missing data").
enum class MissingData { Missing, Ignore, Breaching, NotBreaching };
enum class AlarmState { Ok, Alarm, InsufficientData };
enum class Side { Both, Above, Below };
// How the points of one period become one value.
enum class Statistic { Sum, Average, Minimum, Maximum, Last };

// "band", "deletion-spike", "greater-than", "not-breaching", "OK", "ALARM", "INSUFFICIENT_DATA"…
std::string_view to_string(AlarmKind kind);
std::string_view to_string(Comparison comparison);
std::string_view to_string(MissingData missing);
std::string_view to_string(AlarmState state);
std::string_view to_string(Side side);
std::string_view to_string(Statistic statistic);
std::optional<AlarmKind> parse_alarm_kind(std::string_view text);
std::optional<Comparison> parse_comparison(std::string_view text);
std::optional<MissingData> parse_missing_data(std::string_view text);
std::optional<AlarmState> parse_alarm_state(std::string_view text);
std::optional<Side> parse_side(std::string_view text);
std::optional<Statistic> parse_statistic(std::string_view text);

struct AlarmConfig {
    std::string name;
    AlarmKind kind = AlarmKind::Band;
    std::string metric;  // band and threshold; the others look at commits
    double k = 3;        // band, deletion spike: half the band's width in calibrated standard deviations
    // Band: a point so far outside breaches by itself, whatever m says. None: m of n alone.
    std::optional<double> k_alone;
    Side side = Side::Both;
    Comparison comparison = Comparison::GreaterThan;
    std::optional<double> threshold;
    // Hysteresis: once in ALARM, points count as good only on the other side of this bound. None: of `threshold`.
    std::optional<double> clear_threshold;
    base::Duration period{};             // 0: each commit is a point; else each period is one
    std::optional<Statistic> statistic;  // of a period; none: Sum for what a commit adds or removes, else Last
    int m = 2;                           // so many bad ones
    int n = 2;                           // of the last so many: 1 <= m <= n <= 100
    // So many good ones in a row end an alarm. 0: fewer than m bad ones do, as with CloudWatch.
    int clear_after = 0;
    // Band per commit: rewrites (compactions) can alarm too. They always have a band of their own.
    bool judge_rewrites = false;
    MissingData missing = MissingData::Missing;
    std::vector<Exclusion> exclusions;
    std::optional<base::Duration> interval;  // late: given; else learned
    std::string playbook;                    // text or link, shown with the alarm
    std::vector<std::string> actions;        // names; what they do is not this module's
};
// InvalidConfig with the alarm's name, the field and what is right.
base::Status check(const AlarmConfig& config);
// What a table without alarms of its own gets. Names are stable.
std::vector<AlarmConfig> default_alarms();
Statistic statistic_of(const AlarmConfig& config);
// Whether the metric says what one commit did, and not how the table is after it.
bool is_of_commit(std::string_view metric);
BandConfig band_config(const AlarmConfig& config);

enum class Datum : std::uint8_t { Missing, Good, Bad };

struct Acknowledgement {
    std::string by;
    base::WallTime at{};
    std::string note;
    friend bool operator==(const Acknowledgement&, const Acknowledgement&) = default;
};

// The period that is being filled; later ones do not exist yet.
struct OpenPeriod {
    base::WallTime start{};
    PointClass kind = PointClass::Change;
    std::uint64_t points = 0;
    double sum = 0;
    double least = 0;
    double most = 0;
    double last = 0;
    friend bool operator==(const OpenPeriod&, const OpenPeriod&) = default;
};

// A load of the past, to see it come twice.
struct Load {
    base::WallTime at{};
    double records = 0;
    double bytes = 0;
    friend bool operator==(const Load&, const Load&) = default;
};

// Everything that an alarm must know after a restart. Its size is bounded.
struct AlarmMemory {
    AlarmState state = AlarmState::InsufficientData;
    std::optional<base::WallTime> since;          // of the state; none: never evaluated
    std::uint64_t episode = 0;                    // grows with each time that it enters ALARM
    std::optional<Acknowledgement> acknowledged;  // of the current episode
    std::string text;                             // of the last transition
    std::vector<Datum> data;                      // the newest last, at most n + evaluation_extra
    std::optional<OpenPeriod> period;
    Held<Band> band;                                 // band, deletion spike
    Held<Rhythm> rhythm;                             // late, where the interval is learned
    std::optional<base::WallTime> watched_since;     // late
    std::optional<base::WallTime> last_data_commit;  // late: the newest that was no rewrite
    std::vector<Load> loads;                         // repeated, at most loads_max
    double repeat_share = 0;                         // repeated: how usual it is here
    std::uint64_t commits = 0;                       // repeated, deletion spike: seen so far
    std::string drifting;                            // drift: the fields of the episode
    int good_run = 0;                                // good data since the last bad one, at most 1000
    CommitRef last_commit;                           // the newest one observed, for texts

    static constexpr int evaluation_extra = 2;
    static constexpr std::size_t loads_max = 8;
};
base::json::object encode(const AlarmMemory& memory);
// CorruptData for anything that encode() did not write for such an alarm.
base::Result<AlarmMemory> decode_memory(const base::json::object& object, const AlarmConfig& config);

// A change of state, with what people need to judge it.
struct Transition {
    AlarmState from = AlarmState::InsufficientData;
    AlarmState to = AlarmState::InsufficientData;
    base::WallTime at{};
    std::uint64_t episode = 0;    // the one that begins or ends
    std::string text;             // the value, the range, the commit, who wrote it
    base::json::object evidence;  // the same for programs; always has "alarm", "kind", "text"
};

// Judges one observation. Observations that this alarm does not look at change nothing. `now` never goes back by more
// than the clock's error; a point older than the last one is judged where it can be.
std::optional<Transition> step(const AlarmConfig& config, AlarmMemory& memory, const Observation& observation,
                               base::WallTime now);

// What step() saw last: for plots and backtests.
struct Look {
    std::optional<double> value;
    std::optional<Range> expected;  // band: the range; threshold: the good side, open ends are infinite
    bool learning = false;
    Datum datum = Datum::Missing;
    double score = 0;
};
struct Stepped {
    std::optional<Transition> transition;
    std::vector<Transition> earlier;  // of periods that closed before it in the same step, the oldest first
    Look look;
};
// step() with all that it saw. Closing several periods at once can make more than one transition: step() returns the
// last of them.
Stepped step_and_look(const AlarmConfig& config, AlarmMemory& memory, const Observation& observation,
                      base::WallTime now);

// When a tick can change something if nothing else is observed before; none: never.
std::optional<base::WallTime> next_due(const AlarmConfig& config, const AlarmMemory& memory, base::WallTime now);

// Marks the current episode as seen by somebody; Conflict if the alarm is not in ALARM.
base::Status acknowledge(const AlarmConfig& config, AlarmMemory& memory, std::string by, base::WallTime at,
                         std::string note);

// For a while an alarm's transitions are recorded, but act and notify nobody.
struct Silence {
    std::string alarm;  // empty: every alarm
    std::string table;  // empty: every table
    base::WallTime from{};
    base::WallTime until{};
    std::string by;
    std::string why;
};
base::json::object encode(const Silence& silence);
base::Result<Silence> decode_silence(const base::json::object& object);
// The silence that covers this alarm of this table at that time; of several, the one that ends last. Else nullptr.
const Silence* silenced(const std::vector<Silence>& silences, std::string_view alarm, std::string_view table,
                        base::WallTime at);

}  // namespace signalbox::alarms
