#include "domain/jobs/spark_json.hpp"

#include "domain/jobs/json_fields_internal.hpp"

namespace signalbox::jobs {

namespace json = base::json;

json::value spark_to_json(const std::optional<SparkApplication>& spark, Secrets secrets) {
    if (!spark) return nullptr;
    json::object object = {{"application", spark->application},
                           {"arguments", texts_to_json(spark->arguments)},
                           {"home", spark->home},
                           {"python", spark->python},
                           {"worker_cores", spark->worker_cores},
                           {"worker_memory_mib", spark->worker_memory_mib}};
    if (secrets == Secrets::Included) object["conf"] = pairs_to_json(spark->conf);
    return object;
}

base::Result<std::optional<SparkApplication>> parse_spark(const json::value& value) {
    if (value.is_null()) return std::optional<SparkApplication>();
    Fields fields(value, "Spark application");
    SparkApplication spark;
    spark.application = fields.text("application");
    spark.arguments = fields.texts("arguments");
    spark.home = fields.text("home");
    spark.python = fields.text("python");
    if (fields.has("conf")) spark.conf = fields.pairs("conf");
    spark.worker_cores = fields.number("worker_cores", 1);
    spark.worker_memory_mib = fields.number("worker_memory_mib", 1);
    SB_CHECK(fields.status());
    return std::optional(std::move(spark));
}

}  // namespace signalbox::jobs
