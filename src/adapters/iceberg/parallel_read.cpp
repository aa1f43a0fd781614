#include "adapters/iceberg/parallel_read.hpp"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>
#include <vector>

namespace signalbox::iceberg {

using base::Result;
using base::Status;

namespace {

// Results that wait for an earlier one are held back to this many per thread.
constexpr std::size_t waiting_max_per_thread = 3;
constexpr std::size_t threads_max = 64;

class Pool {
  public:
    Pool(std::size_t count, std::size_t threads, const ReadOne& read_one)
        : count_(count), read_one_(read_one), results_(std::min(count, threads * waiting_max_per_thread)) {
        for (std::size_t i = 0; i < threads; ++i) {
            try {
                threads_.emplace_back([this] { work(); });
            } catch (const std::system_error&) {  // the machine has no more; those that there are do it
                break;
            }
        }
    }
    ~Pool() {
        {
            const std::lock_guard lock(mutex_);
            stop_ = true;
        }
        room_for_more_.notify_all();
        for (std::thread& thread : threads_) thread.join();
    }
    Pool(const Pool&) = delete;
    Pool& operator=(const Pool&) = delete;

    bool empty() const { return threads_.empty(); }

    // Waits for the result that is next in order.
    Result<ReadAggregate> take() {
        std::unique_lock lock(mutex_);
        std::optional<Result<ReadAggregate>>& place = results_[taken_ % results_.size()];
        result_there_.wait(lock, [&] { return place.has_value(); });
        Result<ReadAggregate> result = std::move(*place);
        place.reset();
        ++taken_;
        lock.unlock();
        room_for_more_.notify_one();
        return result;
    }

  private:
    void work() {
        ReadRoom room;
        std::unique_lock lock(mutex_);
        for (;;) {
            room_for_more_.wait(lock, [&] { return stop_ || begun_ == count_ || begun_ < taken_ + results_.size(); });
            if (stop_ || begun_ == count_) return;
            const std::size_t index = begun_++;
            lock.unlock();
            Result<ReadAggregate> result = read_one_(index, room);
            lock.lock();
            results_[index % results_.size()] = std::move(result);
            if (index == taken_) result_there_.notify_one();
            if (begun_ == count_) room_for_more_.notify_all();
        }
    }

    const std::size_t count_;
    const ReadOne& read_one_;
    std::mutex mutex_;
    std::condition_variable room_for_more_;
    std::condition_variable result_there_;
    std::vector<std::optional<Result<ReadAggregate>>> results_;  // a ring: index i waits at i modulo its size
    std::size_t begun_ = 0;
    std::size_t taken_ = 0;
    bool stop_ = false;
    std::vector<std::thread> threads_;  // last: they use all of the above
};

Status read_here(std::size_t count, const ReadOne& read_one, const TakeOne& take_one) {
    ReadRoom room;
    for (std::size_t i = 0; i < count; ++i) {
        SB_TRY(ReadAggregate result, read_one(i, room));
        SB_CHECK(take_one(std::move(result)));
    }
    return {};
}

}  // namespace

Status read_in_parallel(std::size_t count, unsigned threads, const ReadOne& read_one, const TakeOne& take_one) {
    const std::size_t wanted = threads > 0 ? threads : std::max(1U, std::thread::hardware_concurrency());
    const std::size_t useful = std::min({wanted, count, threads_max});
    if (useful <= 1) return read_here(count, read_one, take_one);
    Pool pool(count, useful, read_one);
    if (pool.empty()) return read_here(count, read_one, take_one);
    for (std::size_t i = 0; i < count; ++i) {
        SB_TRY(ReadAggregate result, pool.take());
        SB_CHECK(take_one(std::move(result)));
    }
    return {};
}

}  // namespace signalbox::iceberg
