#include "app/config_sinks.hpp"

#include "adapters/http/client.hpp"

namespace signalbox::app {
namespace {

using namespace std::chrono_literals;

constexpr std::int64_t partitions_limit = 10'000;
constexpr std::uint64_t headers_file_max_bytes = 64 << 10;

std::size_t read_partitions(yaml::Reader& reader, std::size_t otherwise) {
    return static_cast<std::size_t>(
        reader.integer("partitions", 0, partitions_limit).value_or(static_cast<std::int64_t>(otherwise)));
}

bool is_header_name(std::string_view text) {
    return !text.empty() && text.find_first_not_of(
                                "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
                                "!#$%&'*+-.^_`|~") == std::string_view::npos;
}

// "Name: value" on each line; empty lines and those that begin with # are passed over. A fault does not repeat a line,
// which may hold a secret.
void read_headers(yaml::Reader& reader, const std::string& config_file, Secrets secrets, sinks::OtlpOptions& otlp) {
    const auto file = reader.text("headers_file");
    if (!file || secrets == Secrets::Skip) return;
    const auto text = base::read_file(resolve_path(config_file, *file), headers_file_max_bytes);
    if (!text) return reader.fault("headers_file", text.error().text());
    int number = 0;
    for (const std::string_view raw : base::split(*text, '\n')) {
        ++number;
        const std::string_view line = base::trim(raw);
        if (line.empty() || line.starts_with('#')) continue;
        const std::size_t colon = line.find(':');
        const std::string_view name = base::trim(line.substr(0, colon));
        if (colon == std::string_view::npos || !is_header_name(name)) {
            reader.fault("headers_file", fmt::format("{}:{}: expected NAME: VALUE", *file, number));
            continue;
        }
        otlp.headers.emplace_back(name, base::trim(line.substr(colon + 1)));
    }
}

sinks::OtlpOptions read_otlp(yaml::Reader& reader, const std::string& config_file, Secrets secrets) {
    sinks::OtlpOptions otlp;
    otlp.url = reader.need_text("url");
    if (!otlp.url.empty()) {
        if (const auto parts = http::split_url(otlp.url); !parts) reader.fault("url", parts.error().message);
    }
    read_headers(reader, config_file, secrets, otlp);
    if (const auto ca = reader.text("tls_ca_file")) otlp.tls_ca_file = resolve_path(config_file, *ca);
    for (auto& [key, value] : reader.pairs("resource")) {
        if (key == "service.name") otlp.resource.front().second = value;
        if (key != "service.name") otlp.resource.emplace_back(key, value);
    }
    otlp.deadline = reader.duration("deadline", 100ms, 5min).value_or(otlp.deadline);
    otlp.retry_time_max = reader.duration("retry_time", 0s, 1h).value_or(otlp.retry_time_max);
    otlp.queue_max = static_cast<std::size_t>(
        reader.integer("queue", 1, 10'000'000).value_or(static_cast<std::int64_t>(otlp.queue_max)));
    otlp.partitions_max = read_partitions(reader, otlp.partitions_max);
    reader.finish();
    return otlp;
}

}  // namespace

SinksConfig read_sinks(yaml::Reader& root, const std::string& config_file, Secrets secrets) {
    SinksConfig config;
    auto reader = root.mapping("sinks");
    if (!reader) return config;
    if (auto page = reader->mapping("prometheus")) {
        config.prometheus_partitions_max = read_partitions(*page, config.prometheus_partitions_max);
        page->finish();
    }
    if (auto file = reader->mapping("json_lines")) {
        JsonLinesConfig lines;
        const std::string path = file->need_text("path");
        lines.path = resolve_path(config_file, path);
        lines.partitions_max = read_partitions(*file, lines.partitions_max);
        file->finish();
        config.json_lines = std::move(lines);
    }
    if (auto otlp = reader->mapping("otlp")) config.otlp = read_otlp(*otlp, config_file, secrets);
    if (reader->mapping("cloudwatch"))
        reader->fault("cloudwatch",
                      "is not supported by this version; use otlp with a collector that writes to CloudWatch");
    reader->finish();
    return config;
}

}  // namespace signalbox::app
