#pragma once
// Builds recordings for tests in milliseconds: what each path answered, and when.

#include <string>

#include "domain/meter/sample.hpp"

namespace signalbox::meter {

inline MonoTime at_ms(double ms) { return MonoTime(Duration(static_cast<std::int64_t>(ms * 1e6))); }

class RecordingBuilder {
  public:
    explicit RecordingBuilder(double interval_ms = 10) {
        recording.interval = Duration(static_cast<std::int64_t>(interval_ms * 1e6));
    }
    std::uint16_t path(const std::string& name, bool writes = true, bool named = false) {
        PathInfo info = describe_path(name);
        info.writes = writes;
        info.named = named;
        recording.paths.push_back(info);
        next_number_.push_back(1);
        return static_cast<std::uint16_t>(recording.paths.size() - 1);
    }
    std::uint32_t text(const std::string& text) {
        for (std::size_t i = 0; i < recording.texts.size(); ++i) {
            if (recording.texts[i] == text) return static_cast<std::uint32_t>(i);
        }
        recording.texts.push_back(text);
        return static_cast<std::uint32_t>(recording.texts.size() - 1);
    }
    Sample& add(std::uint16_t path, Kind kind, double sent_ms, double completed_ms, Outcome outcome = Outcome::Ok,
                int code = 0, const std::string& server = "") {
        Sample sample;
        sample.path = path;
        sample.kind = kind;
        sample.sent_at = at_ms(sent_ms);
        sample.completed_at = at_ms(completed_ms);
        sample.outcome = outcome;
        sample.code = code;
        sample.server = text(server);
        if (kind == Kind::Write) sample.number = next_number_[path]++;
        recording.samples.push_back(sample);
        recording.ended_at = std::max(recording.ended_at, sample.completed_at);
        return recording.samples.back();
    }
    // Good operations of 1 ms, one per interval, sent in [from, to).
    void good(std::uint16_t path, Kind kind, double from_ms, double to_ms, const std::string& server = "") {
        const double step = base::to_ms(recording.interval);
        for (double ms = from_ms; ms < to_ms; ms += step) add(path, kind, ms, ms + 1, Outcome::Ok, 0, server);
    }
    void bad(std::uint16_t path, Kind kind, double from_ms, double to_ms, int code, Outcome outcome = Outcome::Failed) {
        const double step = base::to_ms(recording.interval);
        for (double ms = from_ms; ms < to_ms; ms += step) add(path, kind, ms, ms + 1, outcome, code);
    }

    Recording recording;

  private:
    std::vector<std::uint64_t> next_number_;
};

}  // namespace signalbox::meter
