#include "domain/alarms/band.hpp"

#include <algorithm>
#include <cmath>

namespace signalbox::alarms {

namespace json = base::json;

std::string_view to_string(PointClass kind) { return kind == PointClass::Change ? "change" : "rewrite"; }

std::optional<PointClass> parse_point_class(std::string_view text) {
    if (text == "change") return PointClass::Change;
    if (text == "rewrite") return PointClass::Rewrite;
    return std::nullopt;
}

bool excluded(const std::vector<Exclusion>& exclusions, base::WallTime at) {
    return std::any_of(exclusions.begin(), exclusions.end(),
                       [at](const Exclusion& out) { return out.from <= at && at < out.until; });
}

bool Band::learning(const Expectation& model, base::WallTime at) const {
    return model.points() < static_cast<std::uint64_t>(config_.learning_points) ||
           at - model.first() < config_.learning_time;
}

BandVerdict Band::step(const Point& point) {
    BandVerdict verdict;
    if (!std::isfinite(point.value) || excluded(config_.exclusions, point.at)) return verdict;
    auto& model = models_[static_cast<std::size_t>(point.kind)];
    model.open();
    if (!learning(*model, point.at)) {
        model->return_to_former(point.at, point.value, config_.k);
        const Expectation::Judged judged = model->judge(point.at, point.value, config_.k);
        verdict = {false, Range{judged.span.low, judged.span.high}, judged.score, judged.outside, judged.above};
    }
    model->learn(point.at, point.value, config_.k);
    return verdict;
}

std::optional<Range> Band::expected(base::WallTime at, PointClass kind) const { return expected(at, kind, config_.k); }

std::optional<Range> Band::expected(base::WallTime at, PointClass kind, double k) const {
    const auto& model = models_[static_cast<std::size_t>(kind)];
    if (!model || learning(*model, at)) return std::nullopt;
    const auto span = model->span(at, k);
    if (!span) return std::nullopt;
    return Range{span->low, span->high};
}

std::uint64_t Band::learned(PointClass kind) const {
    const auto& model = models_[static_cast<std::size_t>(kind)];
    return model ? model->points() : 0;
}

json::object Band::encode() const {
    json::object object;
    for (const PointClass kind : {PointClass::Change, PointClass::Rewrite})
        if (const auto& model = models_[static_cast<std::size_t>(kind)]) object[to_string(kind)] = model->encode();
    return object;
}

base::Result<Band> Band::decode(const json::object& object, BandConfig config) {
    Band band(std::move(config));
    for (const auto& [key, value] : object) {
        const auto kind = parse_point_class(key);
        if (!kind || !value.is_object())
            return base::fail(base::ErrorKind::CorruptData, "a band has no model named '{}'", std::string_view(key));
        SB_TRY(Expectation model, Expectation::decode(value.get_object()));
        band.models_[static_cast<std::size_t>(*kind)] = std::move(model);
    }
    return band;
}

}  // namespace signalbox::alarms
