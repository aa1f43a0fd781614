#include "adapters/prometheus/text.hpp"

#include <algorithm>
#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>
#include <unordered_map>

namespace signalbox::prometheus_text {

struct Page::Families {
    std::vector<prometheus::MetricFamily> all;
    std::unordered_map<std::string, std::size_t> places;

    prometheus::ClientMetric& add(const std::string& name, const std::string& help, prometheus::MetricType type,
                                  const Labels& labels) {
        const auto [place, fresh] = places.try_emplace(name, all.size());
        auto& family = fresh ? all.emplace_back() : all[place->second];
        family.name = name;
        family.help = help;
        family.type = type;
        auto& metric = family.metric.emplace_back();
        for (const auto& [key, value] : labels) metric.label.push_back({key, value});
        return metric;
    }
};

void Histogram::observe(double value) {
    const auto bucket = std::lower_bound(bounds.begin(), bounds.end(), value) - bounds.begin();
    ++counts[static_cast<std::size_t>(bucket)];
    sum += value;
}

Page::Page() : families_(std::make_unique<Families>()) {}

Page::~Page() = default;

void Page::counter(const std::string& name, const std::string& help, const Labels& labels, double value) {
    families_->add(name, help, prometheus::MetricType::Counter, labels).counter.value = value;
}

void Page::gauge(const std::string& name, const std::string& help, const Labels& labels, double value) {
    families_->add(name, help, prometheus::MetricType::Gauge, labels).gauge.value = value;
}

void Page::histogram(const std::string& name, const std::string& help, const Labels& labels, const Histogram& value) {
    auto& metric = families_->add(name, help, prometheus::MetricType::Histogram, labels).histogram;
    std::uint64_t so_far = 0;
    for (std::size_t i = 0; i < value.bounds.size(); ++i) {
        so_far += value.counts[i];
        metric.bucket.push_back({so_far, value.bounds[i]});
    }
    metric.sample_count = so_far + value.counts.back();
    metric.sample_sum = value.sum;
}

std::string Page::render() const { return prometheus::TextSerializer().Serialize(families_->all); }

}  // namespace signalbox::prometheus_text
