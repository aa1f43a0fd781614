#include "app/config_spark.hpp"

#include <algorithm>
#include <filesystem>

#include "adapters/spark/commands.hpp"

namespace signalbox::app {
namespace {

constexpr int cores_max = 1024;
constexpr std::int64_t memory_min_mib = 256;
constexpr std::int64_t memory_max_mib = 4 << 20;

std::string absolute(const std::string& path, const std::string& config_file) {
    if (path.empty()) return {};
    const auto folder = std::filesystem::absolute(std::filesystem::path(config_file)).parent_path();
    return (folder / path).lexically_normal().string();
}

// "512m" or "2g", as Spark writes it.
std::optional<int> parse_memory(std::string_view text) {
    if (text.size() < 2) return std::nullopt;
    const char unit = text.back();
    const auto count = base::parse_uint(text.substr(0, text.size() - 1));
    if (!count || *count > static_cast<std::uint64_t>(memory_max_mib) || (unit != 'm' && unit != 'g'))
        return std::nullopt;
    const std::int64_t mib = static_cast<std::int64_t>(*count) * (unit == 'g' ? 1024 : 1);
    if (mib < memory_min_mib || mib > memory_max_mib) return std::nullopt;
    return static_cast<int>(mib);
}

void read_conf(yaml::Reader& reader, jobs::SparkApplication& spark) {
    spark.conf = reader.pairs("conf");
    for (const auto& [key, value] : spark.conf) {
        const bool plain = key.starts_with("spark.") && std::none_of(key.begin(), key.end(), [](unsigned char letter) {
                               return letter <= ' ' || letter >= 127;
                           });
        if (!plain)
            reader.fault("conf", fmt::format("expected names like spark.sql.shuffle.partitions, found '{}'", key));
        if (spark::is_reserved(key))
            reader.fault("conf", fmt::format("'{}' follows from the run's own nodes; remove it", key));
    }
}

}  // namespace

jobs::SparkApplication read_spark(yaml::Reader& reader, const std::string& config_file) {
    jobs::SparkApplication spark;
    spark.application = absolute(reader.need_text("application"), config_file);
    spark.arguments = reader.texts("arguments");
    spark.home = absolute(reader.text("home").value_or(""), config_file);
    spark.python = absolute(reader.text("python").value_or(""), config_file);
    if (spark.home.empty() == spark.python.empty())
        reader.fault("home",
                     "expected one of 'home', the folder of a Spark distribution, and 'python', the path of an "
                     "interpreter that has pyspark");
    read_conf(reader, spark);
    spark.worker_cores = static_cast<int>(reader.integer("worker_cores", 1, cores_max).value_or(spark.worker_cores));
    if (const auto text = reader.text("worker_memory")) {
        const auto memory = parse_memory(*text);
        if (!memory)
            reader.fault("worker_memory", fmt::format("expected 256m to 4096g, like 512m or 2g, found '{}'", *text));
        spark.worker_memory_mib = memory.value_or(spark.worker_memory_mib);
    }
    reader.finish();
    return spark;
}

}  // namespace signalbox::app
