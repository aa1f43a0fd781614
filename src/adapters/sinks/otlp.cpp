#include "adapters/sinks/otlp.hpp"

#include <algorithm>
#include <iterator>
#include <random>

#include "adapters/http/client.hpp"
#include "adapters/sinks/otlp_json.hpp"
#include "adapters/sinks/partitions.hpp"

namespace signalbox::sinks {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t answer_max_bytes = 64 * 1024;

}  // namespace

Otlp::Otlp(OtlpOptions options) : options_(std::move(options)), thread_([this] { send_all(); }) {}

Otlp::~Otlp() {
    {
        const std::lock_guard guard(mutex_);
        ending_ = true;
    }
    wake_.notify_all();
    thread_.join();
}

base::Status Otlp::write(const std::vector<ports::MetricPoint>& points) {
    auto limited = limit_partitions(points, options_.partitions_max);
    std::erase_if(limited, [](const ports::MetricPoint& point) { return !point.value; });
    {
        const std::lock_guard guard(mutex_);
        std::move(limited.begin(), limited.end(), std::back_inserter(queue_));
        if (queue_.size() > options_.queue_max) {
            const std::size_t excess = queue_.size() - options_.queue_max;
            queue_.erase(queue_.begin(), queue_.begin() + static_cast<std::ptrdiff_t>(excess));
            counters_.dropped += excess;
        }
    }
    wake_.notify_all();
    return {};
}

OtlpCounters Otlp::counters() const {
    const std::lock_guard guard(mutex_);
    OtlpCounters counters = counters_;
    counters.queued = queue_.size();
    return counters;
}

// False: it ends.
bool Otlp::pause(base::Duration time) {
    std::unique_lock lock(mutex_);
    return !wake_.wait_for(lock, time, [this] { return ending_; });
}

void Otlp::settle(const std::vector<ports::MetricPoint>& batch, std::int64_t rejected, const std::string& trouble) {
    const std::lock_guard guard(mutex_);
    counters_.trouble = trouble;
    const auto refused =
        std::clamp<std::uint64_t>(static_cast<std::uint64_t>(std::max<std::int64_t>(rejected, 0)), 0, batch.size());
    counters_.rejected += refused;
    counters_.sent += batch.size() - refused;
}

Otlp::Answer Otlp::send(const std::vector<ports::MetricPoint>& batch, base::Duration deadline, base::Duration& after) {
    const auto note = [this](const std::string& trouble) {
        const std::lock_guard guard(mutex_);
        counters_.trouble = trouble;
    };
    const auto where = http::split_url(options_.url);
    if (!where) {
        note(where.error().text());
        return Answer::Never;
    }
    const std::string body = otlp_request(batch, options_.resource);
    if (body.empty()) return Answer::Never;
    http::Question call;
    call.method = "POST";
    call.target = where->second;
    call.body = body;
    call.headers = options_.headers;
    call.body_max_bytes = answer_max_bytes;
    const auto reply = http::Client(where->first, {}, {options_.tls_ca_file, false}).ask(call, deadline);
    if (!reply) {
        note(reply.error().text());
        return Answer::Later;
    }
    if (reply->status == 200) {
        const OtlpPartial partial = otlp_partial(reply->body);
        settle(batch, partial.rejected, partial.rejected > 0 ? partial.message : "");
        return Answer::Taken;
    }
    note(fmt::format("{}: HTTP status {}", where->first, reply->status));
    if (!otlp_retryable(reply->status)) return Answer::Never;
    if (const auto header = reply->headers.find("retry-after"); header != reply->headers.end()) {
        const auto now = std::chrono::time_point_cast<base::Duration>(std::chrono::system_clock::now());
        after = http::parse_retry_after(header->second, now).value_or(base::Duration::zero());
    }
    return Answer::Later;
}

void Otlp::send_all() {
    std::mt19937_64 random(std::random_device{}());
    std::optional<Clock::time_point> end_at;
    for (;;) {
        std::vector<ports::MetricPoint> batch;
        {
            std::unique_lock lock(mutex_);
            wake_.wait(lock, [this] { return ending_ || !queue_.empty(); });
            if (queue_.empty()) return;
            const auto size = static_cast<std::ptrdiff_t>(std::min(queue_.size(), options_.batch_max));
            batch.assign(std::make_move_iterator(queue_.begin()), std::make_move_iterator(queue_.begin() + size));
            queue_.erase(queue_.begin(), queue_.begin() + size);
        }
        const auto give_up_at = Clock::now() + options_.retry_time_max;
        base::Duration longest = options_.backoff_base;
        bool going_on = true;
        Answer answer = Answer::Later;
        while (answer == Answer::Later) {
            base::Duration deadline = options_.deadline;
            {
                const std::lock_guard guard(mutex_);
                going_on = !ending_;
            }
            if (!going_on) {
                if (!end_at) end_at = Clock::now() + options_.flush_time_max;
                deadline = std::min<base::Duration>(deadline, *end_at - Clock::now());
            }
            base::Duration after{};
            if (deadline > base::Duration::zero()) answer = send(batch, deadline, after);
            if (answer != Answer::Later || !going_on || Clock::now() >= give_up_at) break;
            const auto jitter = std::uniform_int_distribution<base::Duration::rep>(0, longest.count())(random);
            after = std::min(std::max(after, base::Duration(jitter)), options_.retry_time_max);
            longest = std::min(longest * 2, options_.backoff_max);
            pause(after);
        }
        if (answer == Answer::Taken) continue;
        const std::lock_guard guard(mutex_);
        counters_.dropped += batch.size();
    }
}

}  // namespace signalbox::sinks
