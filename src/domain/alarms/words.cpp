#include <array>
#include <utility>

#include "domain/alarms/alarm.hpp"

namespace signalbox::alarms {
namespace {

template <typename Enum, std::size_t count>
using Words = std::array<std::pair<Enum, std::string_view>, count>;

constexpr Words<AlarmKind, 8> kinds = {{{AlarmKind::Band, "band"},
                                        {AlarmKind::Threshold, "threshold"},
                                        {AlarmKind::Late, "late"},
                                        {AlarmKind::Drift, "drift"},
                                        {AlarmKind::Rollback, "rollback"},
                                        {AlarmKind::DeletionSpike, "deletion-spike"},
                                        {AlarmKind::SchemaChanged, "schema-changed"},
                                        {AlarmKind::Repeated, "repeated"}}};
constexpr Words<Comparison, 4> comparisons = {{{Comparison::GreaterThan, "greater-than"},
                                               {Comparison::GreaterOrEqual, "greater-or-equal"},
                                               {Comparison::LessThan, "less-than"},
                                               {Comparison::LessOrEqual, "less-or-equal"}}};
constexpr Words<MissingData, 4> treatments = {{{MissingData::Missing, "missing"},
                                               {MissingData::Ignore, "ignore"},
                                               {MissingData::Breaching, "breaching"},
                                               {MissingData::NotBreaching, "not-breaching"}}};
constexpr Words<AlarmState, 3> states = {
    {{AlarmState::Ok, "OK"}, {AlarmState::Alarm, "ALARM"}, {AlarmState::InsufficientData, "INSUFFICIENT_DATA"}}};
constexpr Words<Side, 3> sides = {{{Side::Both, "both"}, {Side::Above, "above"}, {Side::Below, "below"}}};
constexpr Words<Statistic, 5> statistics = {{{Statistic::Sum, "sum"},
                                             {Statistic::Average, "average"},
                                             {Statistic::Minimum, "minimum"},
                                             {Statistic::Maximum, "maximum"},
                                             {Statistic::Last, "last"}}};

template <typename Enum, std::size_t count>
std::string_view word(const Words<Enum, count>& words, Enum value) {
    for (const auto& [known, text] : words)
        if (known == value) return text;
    return "?";
}

template <typename Enum, std::size_t count>
std::optional<Enum> value(const Words<Enum, count>& words, std::string_view text) {
    for (const auto& [known, word] : words)
        if (word == text) return known;
    return std::nullopt;
}

}  // namespace

std::string_view to_string(AlarmKind kind) { return word(kinds, kind); }
std::string_view to_string(Comparison comparison) { return word(comparisons, comparison); }
std::string_view to_string(MissingData missing) { return word(treatments, missing); }
std::string_view to_string(AlarmState state) { return word(states, state); }
std::string_view to_string(Side side) { return word(sides, side); }
std::string_view to_string(Statistic statistic) { return word(statistics, statistic); }
std::optional<AlarmKind> parse_alarm_kind(std::string_view text) { return value(kinds, text); }
std::optional<Comparison> parse_comparison(std::string_view text) { return value(comparisons, text); }
std::optional<MissingData> parse_missing_data(std::string_view text) { return value(treatments, text); }
std::optional<AlarmState> parse_alarm_state(std::string_view text) { return value(states, text); }
std::optional<Side> parse_side(std::string_view text) { return value(sides, text); }
std::optional<Statistic> parse_statistic(std::string_view text) { return value(statistics, text); }

}  // namespace signalbox::alarms
