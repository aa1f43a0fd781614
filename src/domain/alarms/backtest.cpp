#include "domain/alarms/backtest.hpp"

#include <algorithm>
#include <cmath>

namespace signalbox::alarms {
namespace {

namespace json = base::json;
using base::WallTime;

WallTime time_of(const Observation& observation) {
    if (const auto* point = std::get_if<MetricPoint>(&observation)) return point->point.at;
    if (const auto* fact = std::get_if<CommitFact>(&observation)) return fact->commit.at;
    return {};
}

class Runner {
  public:
    explicit Runner(const AlarmConfig& config) : config_(config) {}

    void observe(const Observation& observation, WallTime at) {
        add(step_and_look(config_, result_.memory, observation, at), at, !std::holds_alternative<Tick>(observation));
    }

    // The ticks that a daemon would make before `until`. Several that change nothing in a row end it: a daemon would
    // sleep on, and a range of years with a short period must not take years.
    void tick_until(WallTime from, WallTime until) {
        WallTime now = from;
        while (true) {
            const auto due = next_due(config_, result_.memory, now);
            if (!due || *due > until || (*due <= now && ticked_)) break;
            now = *due;
            ticked_ = true;
            observe(Tick{}, now);
        }
        ticked_ = false;
    }

    Backtest finish() { return std::move(result_); }

  private:
    void add(Stepped stepped, WallTime at, bool observed) {
        for (Transition& transition : stepped.earlier) push({}, transition.at, std::move(transition));
        const bool period = config_.period > base::Duration::zero();
        // A point of an open period is judged when the period closes.
        if (!observed && !stepped.transition && !stepped.look.value && !period) return;
        if (observed && period && !stepped.look.value && !stepped.transition) return;
        push(stepped.look, at, std::move(stepped.transition));
    }

    void push(const Look& look, WallTime at, std::optional<Transition> transition) {
        BacktestStep step{at,         look.value, look.expected,        look.learning,
                          look.datum, look.score, result_.memory.state, {}};
        if (transition && transition->to == AlarmState::Alarm) ++result_.episodes;
        if (transition) step.state = transition->to;
        step.transition = std::move(transition);
        result_.steps.push_back(std::move(step));
    }

    const AlarmConfig& config_;
    Backtest result_;
    bool ticked_ = false;
};

json::value finite_or_null(double value) { return std::isfinite(value) ? json::value(value) : json::value(nullptr); }

}  // namespace

Backtest backtest(const AlarmConfig& config, const std::vector<Observation>& observations,
                  std::optional<WallTime> until) {
    Runner runner(config);
    std::optional<WallTime> now;
    for (const Observation& observation : observations) {
        const WallTime at = std::holds_alternative<Tick>(observation) && now ? *now : time_of(observation);
        if (now) runner.tick_until(*now, at);
        runner.observe(observation, at);
        now = at;
    }
    if (now && until && *until > *now) runner.tick_until(*now, *until);
    return runner.finish();
}

Backtest backtest(const AlarmConfig& config, const std::vector<Point>& points, std::optional<WallTime> until) {
    std::vector<Observation> observations;
    observations.reserve(points.size());
    const bool of_metric = config.kind == AlarmKind::Band || config.kind == AlarmKind::Threshold;
    for (const Point& point : points) {
        if (of_metric) {
            observations.emplace_back(MetricPoint{config.metric, point, CommitRef{0, point.at, {}, {}}});
            continue;
        }
        CommitFact fact;
        fact.commit.at = point.at;
        fact.kind = point.kind;
        if (config.kind == AlarmKind::DeletionSpike) fact.deleted_records = point.value;
        observations.emplace_back(std::move(fact));
    }
    return backtest(config, observations, until);
}

json::object to_json(const BacktestStep& step) {
    json::object object{{"at", base::format_time(step.at)}, {"state", to_string(step.state)}};
    object["value"] = step.value ? json::value(*step.value) : json::value(nullptr);
    if (step.expected)
        object["expected"] = {{"low", finite_or_null(step.expected->low)},
                              {"high", finite_or_null(step.expected->high)}};
    if (step.learning) object["learning"] = true;
    object["datum"] = step.datum == Datum::Bad ? "bad" : step.datum == Datum::Good ? "good" : "none";
    if (step.score != 0) object["score"] = step.score;
    if (step.transition) {
        object["from"] = to_string(step.transition->from);
        object["to"] = to_string(step.transition->to);
        object["episode"] = step.transition->episode;
        object["text"] = step.transition->text;
    }
    return object;
}

}  // namespace signalbox::alarms
