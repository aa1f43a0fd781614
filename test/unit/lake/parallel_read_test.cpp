#include "adapters/iceberg/parallel_read.hpp"

#include <atomic>
#include <gmock/gmock.h>
#include <thread>

namespace signalbox::iceberg {
namespace {

using base::ErrorKind;
using base::fail;
using base::Result;
using base::Status;

ReadAggregate numbered(std::size_t index) {
    ReadAggregate result;
    result.aggregate.key.path = std::to_string(index);
    result.bytes = index;
    return result;
}

TEST(ParallelRead, results_are_taken_in_order_however_many_threads_read) {
    for (const unsigned threads : {0U, 1U, 2U, 7U, 1000U}) {
        for (const std::size_t count : {std::size_t{0}, std::size_t{1}, std::size_t{5}, std::size_t{300}}) {
            std::vector<std::string> expected;
            for (std::size_t i = 0; i < count; ++i) expected.push_back(std::to_string(i));
            std::vector<std::string> taken;
            const auto status = read_in_parallel(
                count, threads, [](std::size_t index, ReadRoom&) -> Result<ReadAggregate> { return numbered(index); },
                [&](ReadAggregate result) -> Status {
                    taken.push_back(result.aggregate.key.path);
                    return {};
                });
            EXPECT_TRUE(status);
            EXPECT_EQ(taken, expected) << threads << " threads";
        }
    }
}

TEST(ParallelRead, the_first_error_in_order_is_told_even_if_a_later_one_comes_sooner) {
    std::atomic<bool> later_failed{false};
    const auto read_one = [&](std::size_t index, ReadRoom&) -> Result<ReadAggregate> {
        if (index == 4) {
            later_failed = true;
            return fail(ErrorKind::CorruptData, "the later one");
        }
        if (index == 3) {
            while (!later_failed) std::this_thread::yield();
            return fail(ErrorKind::CorruptData, "the earlier one");
        }
        return numbered(index);
    };
    std::size_t taken = 0;
    const auto status = read_in_parallel(100, 2, read_one, [&](ReadAggregate) -> Status {
        ++taken;
        return {};
    });
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().message, "the earlier one");
    EXPECT_EQ(taken, 3U);
}

TEST(ParallelRead, an_error_of_who_takes_them_ends_the_reading_and_few_are_read_ahead) {
    std::atomic<std::size_t> begun{0};
    const auto status = read_in_parallel(
        100'000, 4,
        [&](std::size_t index, ReadRoom&) -> Result<ReadAggregate> {
            ++begun;
            return numbered(index);
        },
        [](ReadAggregate result) -> Status {
            if (result.bytes == 10) return fail(ErrorKind::Conflict, "enough");
            return {};
        });
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().message, "enough");
    EXPECT_LE(begun.load(), 11U + 4 * 3);
}

}  // namespace
}  // namespace signalbox::iceberg
