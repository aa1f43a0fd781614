// A user's strategy, with real programs that behave in every bad way.

#include "adapters/process/strategy_program.hpp"

#include <chrono>
#include <csignal>
#include <gmock/gmock.h>

#include "base/text.hpp"

namespace signalbox::process {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

jobs::ProgramAnswer ask(std::vector<std::string> command, base::Duration deadline = 5s,
                        const base::json::object& question = {}) {
    StrategyProgram strategy("/tmp");
    return strategy.ask({std::move(command), deadline}, question);
}

jobs::ProgramAnswer shell(const std::string& script, base::Duration deadline = 5s,
                          const base::json::object& question = {}) {
    return ask({"/bin/sh", "-c", script}, deadline, question);
}

TEST(StrategyProgram, it_gets_the_candidates_and_answers_with_names_in_order) {
    const base::json::object question{{"candidates", base::json::array{"via-a", "via-b"}}};
    const auto answer =
        ask({"/usr/bin/python3", "-c",
             "import json,sys\nfor name in reversed(json.load(sys.stdin)['candidates']): print(' ' + name)"},
            10s, question);
    EXPECT_EQ(answer.fault, "");
    EXPECT_THAT(answer.names, ElementsAre("via-b", "via-a"));
}

TEST(StrategyProgram, a_question_of_any_size_is_delivered_whole_while_it_already_answers) {
    const base::json::object question{{"text", std::string(1 << 20, 'x')}};
    const auto answer = shell("echo early; wc -c", 10s, question);
    EXPECT_EQ(answer.fault, "");
    EXPECT_THAT(answer.names, ElementsAre("early", std::to_string(base::json::serialize(question).size() + 1)));
}

TEST(StrategyProgram, one_that_reads_nothing_is_free_to) {
    EXPECT_THAT(shell("exec 0<&-; echo via-a", 5s, {{"text", std::string(1 << 20, 'x')}}).names, ElementsAre("via-a"));
}

TEST(StrategyProgram, one_that_hangs_is_killed_at_its_deadline_with_all_its_children) {
    const auto begin = std::chrono::steady_clock::now();
    const auto answer = shell("echo via-a; sleep 4242 & sleep 4242", 300ms);
    EXPECT_LT(std::chrono::steady_clock::now() - begin, 3s);
    EXPECT_THAT(answer.fault, HasSubstr("did not end within 300ms"));
    EXPECT_THAT(answer.names, IsEmpty());
    EXPECT_NE(::system("pgrep -f 'sleep 424[2]' >/dev/null"), 0) << "a child of it lives on";
}

TEST(StrategyProgram, one_that_floods_is_killed_and_its_output_is_no_answer) {
    const auto answer = shell("while :; do echo via-a; done");
    EXPECT_THAT(answer.fault, HasSubstr("more than 65536 bytes"));
    EXPECT_THAT(answer.names, IsEmpty());
}

TEST(StrategyProgram, its_death_its_exit_code_and_its_absence_are_faults) {
    EXPECT_THAT(shell("echo via-a; exit 3").fault, HasSubstr("exit code 3"));
    EXPECT_THAT(shell("echo via-a; kill -SEGV $$").fault, HasSubstr("signal 11"));
    EXPECT_THAT(ask({"/nonexistent/strategy"}).fault, HasSubstr("could not be started: No such file"));
    EXPECT_THAT(ask({}).fault, HasSubstr("no program"));
}

}  // namespace
}  // namespace signalbox::process
