// What the sinks make of some commits, for test_sinks.py and test_otlp.py: a Prometheus page over HTTP, or an OTLP
// request.
//
//     sinks_driver page     serves /metrics and prints its address; each look finds another commit
//     sinks_driver otlp     prints an ExportMetricsServiceRequest
//     sinks_driver send URL sends one to a receiver; exit 0 if it took all

#include <atomic>
#include <cstdio>
#include <string>
#include <unistd.h>
#include <vector>

#include "adapters/http/server.hpp"
#include "adapters/prometheus/lake_page.hpp"
#include "adapters/sinks/otlp.hpp"
#include "adapters/sinks/otlp_json.hpp"

namespace {

using namespace signalbox;
using ports::MetricPoint;

base::WallTime now() { return std::chrono::time_point_cast<base::Duration>(std::chrono::system_clock::now()); }

std::vector<MetricPoint> commit(std::int64_t number) {
    const std::pair<const char*, double> values[] = {
        {"snapshot.added_records", 1000.0 + static_cast<double>(number)},
        {"snapshot.deleted_records", 3},
        {"snapshot.added_data_files", 4},
        {"snapshot.total_records", 1e6},
        {"snapshot.total_data_files", 1200},
        {"snapshot.total_files_size", 3.5e9},
        {"files.small_file_share", 0.25},
        {"deletes.record_ratio", 0.01},
        {"deletes.file_ratio", 0.1},
        {"summary_drift", 0},
    };
    std::vector<MetricPoint> points;
    for (const auto& [name, value] : values) {
        const std::string text = name;
        const char* unit = text.ends_with("_size")                      ? "Bytes"
                           : text.ends_with("o") || text.ends_with("e") ? "Ratio"
                                                                        : "Count";
        points.push_back({"db.orders", text, "", value, unit, now(), number});
    }
    points.push_back({"db.orders", "partitions.skew_record_count", "", std::nullopt, "Count", now(), number});
    for (int day = 1; day <= 50; ++day) {
        points.push_back({"db.orders", "record_count", fmt::format("day=2026-01-{:02} \"ä\\", day), 100.0 * day,
                          "Count", now(), number});
    }
    return points;
}

int serve_page() {
    prometheus_text::LakePage lake({10, 100, 200});
    lake.set_alarms("db.orders", {{"volume", "db.orders", "snapshot.added_records", "ALARM", 900, 950, 1050},
                                  {"late", "db.orders", "", "OK", {}, {}, {}}});
    std::atomic<std::int64_t> number = 0;
    const auto handler = [&](const http::Request&) {
        const std::int64_t one = ++number;
        lake.set_reading({{"manifest", static_cast<std::uint64_t>(one), static_cast<std::uint64_t>(one) * 8192}});
        if (const auto status = lake.write(commit(one)); !status) return http::error_response(status.error());
        prometheus_text::Page page;
        lake.render(page);
        return http::Response{200, "text/plain; version=0.0.4; charset=utf-8", page.render()};
    };
    const auto server = http::Server::start({.listen = "127.0.0.1:0"}, handler);
    if (!server) return 3;
    std::printf("%s\n", (*server)->address().c_str());
    std::fflush(stdout);
    // Until whoever started it closes our input, or is gone.
    char byte = 0;
    while (::read(0, &byte, 1) > 0) {
    }
    return 0;
}

int send(const std::string& url) {
    sinks::OtlpOptions options;
    options.url = url;
    options.flush_time_max = std::chrono::seconds(10);
    sinks::Otlp sink(options);
    if (!sink.write(commit(1))) return 3;
    for (int tries = 0; tries < 1000 && sink.counters().sent == 0; ++tries) ::usleep(10'000);
    const auto counters = sink.counters();
    std::printf("sent %llu dropped %llu rejected %llu\n", static_cast<unsigned long long>(counters.sent),
                static_cast<unsigned long long>(counters.dropped), static_cast<unsigned long long>(counters.rejected));
    return counters.sent > 0 && counters.rejected == 0 ? 0 : 1;
}

}  // namespace

int main(int count, char** words) {
    const std::string what = count > 1 ? words[1] : "";
    if (what == "page") return serve_page();
    if (what == "send" && count > 2) return send(words[2]);
    if (what != "otlp") return 2;
    std::printf("%s\n", sinks::otlp_request(commit(1), {{"service.name", "signalbox"}}).c_str());
    return 0;
}
