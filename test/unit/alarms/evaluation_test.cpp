#include "domain/alarms/evaluation.hpp"

#include <gtest/gtest.h>

#include "helpers.hpp"

namespace signalbox::alarms::test {
namespace {

constexpr AlarmState ok = AlarmState::Ok;
constexpr AlarmState alarm = AlarmState::Alarm;
constexpr AlarmState insufficient = AlarmState::InsufficientData;

std::vector<Datum> data_of(std::string_view letters) {
    std::vector<Datum> data;
    for (const char letter : letters)
        data.push_back(letter == 'X' ? Datum::Bad : letter == '0' ? Datum::Good : Datum::Missing);
    return data;
}

struct Row {
    const char* data;
    AlarmState missing;
    std::optional<AlarmState> ignore;  // none: retains the current state
    AlarmState breaching;
    AlarmState not_breaching;
};

void expect_rows(int m, const std::vector<Row>& rows) {
    for (const Row& row : rows)
        for (const AlarmState current : {ok, alarm, insufficient}) {
            const auto data = data_of(row.data);
            EXPECT_EQ(evaluate(data, m, 3, MissingData::Missing, current), row.missing) << row.data;
            EXPECT_EQ(evaluate(data, m, 3, MissingData::Ignore, current), row.ignore.value_or(current)) << row.data;
            EXPECT_EQ(evaluate(data, m, 3, MissingData::Breaching, current), row.breaching) << row.data;
            EXPECT_EQ(evaluate(data, m, 3, MissingData::NotBreaching, current), row.not_breaching) << row.data;
        }
}

// The two tables of "Configuring how CloudWatch alarms treat missing data".
TEST(Evaluation, is_cloudwatchs_table_of_three_out_of_three) {
    expect_rows(3, {{"0-X-X", ok, ok, ok, ok},
                    {"0----", ok, ok, ok, ok},
                    {"-----", insufficient, std::nullopt, alarm, ok},
                    {"0XX-X", alarm, alarm, alarm, alarm},
                    {"--X--", alarm, std::nullopt, alarm, ok}});
}

TEST(Evaluation, is_cloudwatchs_table_of_two_out_of_three) {
    expect_rows(2, {{"0-X-X", alarm, alarm, alarm, alarm},
                    {"00X0X", alarm, alarm, alarm, alarm},
                    {"0-X--", ok, ok, alarm, ok},
                    {"----0", ok, ok, alarm, ok},
                    {"---X-", alarm, std::nullopt, alarm, ok}});
}

TEST(Evaluation, does_not_alarm_on_a_first_bad_datum_among_missing_ones) {
    EXPECT_EQ(evaluate(data_of("----X"), 3, 3, MissingData::Missing, ok), ok);
    EXPECT_EQ(evaluate(data_of("---X-"), 3, 3, MissingData::Missing, ok), ok);
    EXPECT_EQ(evaluate(data_of("---X0"), 3, 3, MissingData::Missing, ok), ok);
}

// The rules once more, slowly and from the text: a window of n + 2, the newest n real ones, what fills the rest.
AlarmState slowly(const std::vector<Datum>& all, int m, int n, MissingData missing, AlarmState current) {
    std::vector<Datum> window(all.end() - std::min<std::ptrdiff_t>(n + 2, static_cast<std::ptrdiff_t>(all.size())),
                              all.end());
    std::vector<Datum> real;
    for (auto datum = window.rbegin(); datum != window.rend() && static_cast<int>(real.size()) < n; ++datum)
        if (*datum != Datum::Missing) real.push_back(*datum);
    const int needed = std::min<int>(n, static_cast<int>(window.size())) - static_cast<int>(real.size());
    const auto bad_in = [](const std::vector<Datum>& data) {
        return static_cast<int>(std::count(data.begin(), data.end(), Datum::Bad));
    };
    if (missing == MissingData::Breaching || missing == MissingData::NotBreaching || needed <= 0) {
        for (int i = 0; i < needed; ++i) real.push_back(missing == MissingData::Breaching ? Datum::Bad : Datum::Good);
        return real.empty() ? current : bad_in(real) >= m ? alarm : ok;
    }
    if (real.empty()) return missing == MissingData::Missing ? insufficient : current;
    if (static_cast<int>(real.size()) >= m) return bad_in(real) >= m ? alarm : ok;
    if (bad_in(real) != static_cast<int>(real.size())) return ok;
    if (missing == MissingData::Ignore) return current;
    for (int age = n; age >= m; --age)
        if (age <= static_cast<int>(window.size()) &&
            window[window.size() - static_cast<std::size_t>(age)] == Datum::Bad)
            return alarm;
    return ok;
}

TEST(Evaluation, agrees_with_a_slow_reference_on_every_short_history) {
    constexpr Datum kinds[] = {Datum::Missing, Datum::Good, Datum::Bad};
    constexpr MissingData treatments[] = {MissingData::Missing, MissingData::Ignore, MissingData::Breaching,
                                          MissingData::NotBreaching};
    for (int length = 1; length <= 7; ++length)
        for (int code = 0; code < static_cast<int>(std::pow(3, length)); ++code) {
            std::vector<Datum> data;
            for (int i = 0, rest = code; i < length; ++i, rest /= 3) data.push_back(kinds[rest % 3]);
            for (int n = 1; n <= 5; ++n)
                for (int m = 1; m <= n; ++m)
                    for (const MissingData missing : treatments)
                        ASSERT_EQ(evaluate(data, m, n, missing, ok), slowly(data, m, n, missing, ok))
                            << "length " << length << " code " << code << " m " << m << " n " << n << " "
                            << to_string(missing);
        }
}

}  // namespace
}  // namespace signalbox::alarms::test
