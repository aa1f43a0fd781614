// An alarm's memory and silences as JSON for the store.

#include <algorithm>
#include <cmath>

#include "base/text.hpp"
#include "domain/alarms/alarm_internal.hpp"
#include "domain/alarms/packing_internal.hpp"

namespace signalbox::alarms {
namespace {

namespace json = base::json;
using base::ErrorKind;
using base::fail;
using base::WallTime;

// Nanoseconds, exact: a state must go on as it was.
std::int64_t ticks(WallTime time) { return time.time_since_epoch().count(); }

std::string packed(const AlarmMemory& memory) {
    Packer packer;
    packer.put(static_cast<std::uint8_t>(memory.period ? 1 : 0));
    const OpenPeriod period = memory.period.value_or(OpenPeriod{});
    packer.put(ticks(period.start));
    packer.put(period.points);
    for (const double value : {period.sum, period.least, period.most, period.last}) packer.put(value);
    packer.put(memory.repeat_share);
    packer.put(memory.commits);
    packer.put(static_cast<std::int32_t>(memory.good_run));
    packer.put(static_cast<std::uint8_t>(memory.loads.size()));
    for (const Load& load : memory.loads) {
        packer.put(ticks(load.at));
        packer.put(load.records);
        packer.put(load.bytes);
    }
    return packer.text();
}

bool unpack(const std::string& bytes, AlarmMemory& memory) {
    Unpacker unpacker(bytes);
    std::uint8_t flag = 0;
    std::int64_t time = 0;
    std::int32_t run = 0;
    OpenPeriod period;
    unpacker.get(flag);
    unpacker.get(time);
    period.start = WallTime(base::Duration(time));
    unpacker.get(period.points);
    for (double* value : {&period.sum, &period.least, &period.most, &period.last, &memory.repeat_share})
        unpacker.get(*value);
    if (flag != 0) memory.period = period;
    unpacker.get(memory.commits);
    unpacker.get(run);
    memory.good_run = run;
    unpacker.get(flag);
    if (flag > AlarmMemory::loads_max) return false;
    double sum = period.sum + period.least + period.most + period.last + memory.repeat_share;
    for (int i = 0, count = flag; i < count; ++i) {
        Load load;
        unpacker.get(time);
        load.at = WallTime(base::Duration(time));
        unpacker.get(load.records);
        unpacker.get(load.bytes);
        sum += load.records + load.bytes;
        memory.loads.push_back(load);
    }
    return unpacker.finished() && std::isfinite(sum) && run >= 0;
}

json::object to_json(const CommitRef& commit) {
    return {{"snapshot_id", std::to_string(commit.snapshot_id)},
            {"at", ticks(commit.at)},
            {"author", commit.author},
            {"operation", commit.operation}};
}

char letter(Datum datum) { return datum == Datum::Good ? '0' : datum == Datum::Bad ? 'X' : '-'; }

std::optional<Datum> datum(char letter) {
    if (letter == '0') return Datum::Good;
    if (letter == 'X') return Datum::Bad;
    if (letter == '-') return Datum::Missing;
    return std::nullopt;
}

// Reads fields and remembers the first that is missing or wrong.
class Fields {
  public:
    explicit Fields(const json::object& object) : object_(object) {}
    bool has(const char* key) const { return object_.contains(key); }
    std::string text(const char* key) {
        const auto* value = object_.if_contains(key);
        if (value != nullptr && value->is_string()) return std::string(value->get_string());
        wrong(key);
        return {};
    }
    std::int64_t integer(const char* key) {
        const auto* value = object_.if_contains(key);
        boost::system::error_code error;
        const auto result = value == nullptr ? 0 : value->to_number<std::int64_t>(error);
        if (value == nullptr || error) wrong(key);
        return result;
    }
    WallTime time(const char* key) { return WallTime(base::Duration(integer(key))); }
    std::optional<WallTime> optional_time(const char* key) {
        return has(key) ? std::optional<WallTime>(time(key)) : std::nullopt;
    }
    const json::object* object(const char* key) {
        const auto* value = object_.if_contains(key);
        if (value != nullptr && value->is_object()) return &value->get_object();
        wrong(key);
        return nullptr;
    }
    void wrong(const char* key) {
        if (wrong_.empty()) wrong_ = key;
    }
    base::Status status(std::string_view what) const {
        if (wrong_.empty()) return {};
        return fail(ErrorKind::CorruptData, "{} has no good '{}'", what, wrong_);
    }

  private:
    const json::object& object_;
    std::string wrong_;
};

CommitRef commit_from(Fields fields, Fields& errors) {
    CommitRef commit;
    const auto id = base::parse_int(fields.text("snapshot_id"));
    if (!id) fields.wrong("snapshot_id");
    commit.snapshot_id = id.value_or(0);
    commit.at = fields.time("at");
    commit.author = fields.text("author");
    commit.operation = fields.text("operation");
    if (!fields.status("")) errors.wrong("last_commit");
    return commit;
}

void read_data(const std::string& letters, int n, AlarmMemory& memory, Fields& fields) {
    // A configuration with a smaller n keeps the newest.
    const auto most = static_cast<std::size_t>(n + AlarmMemory::evaluation_extra);
    if (letters.size() > 100 + AlarmMemory::evaluation_extra) return fields.wrong("data");
    for (const char each : letters.substr(letters.size() - std::min(letters.size(), most))) {
        const auto known = datum(each);
        if (!known) return fields.wrong("data");
        memory.data.push_back(*known);
    }
}

base::Status read_models(Fields& fields, const AlarmConfig& config, AlarmMemory& memory) {
    if (fields.has("band")) {
        const json::object* object = fields.object("band");
        if (object == nullptr) return fields.status("an alarm's memory");
        SB_TRY(Band band, Band::decode(*object, band_config(config)));
        memory.band = std::move(band);
    }
    if (fields.has("rhythm")) {
        const json::object* object = fields.object("rhythm");
        if (object == nullptr) return fields.status("an alarm's memory");
        SB_TRY(Rhythm rhythm, Rhythm::decode(*object));
        memory.rhythm = std::move(rhythm);
    }
    return {};
}

}  // namespace

json::object encode(const AlarmMemory& memory) {
    json::object object{{"state", to_string(memory.state)}, {"episode", memory.episode}, {"text", memory.text}};
    if (memory.since) object["since"] = ticks(*memory.since);
    if (memory.acknowledged)
        object["acknowledged"] = {{"by", memory.acknowledged->by},
                                  {"at", ticks(memory.acknowledged->at)},
                                  {"note", memory.acknowledged->note}};
    std::string data;
    for (const Datum each : memory.data) data += letter(each);
    object["data"] = data;
    object["numbers"] = packed(memory);
    if (memory.band) object["band"] = memory.band->encode();
    if (memory.rhythm) object["rhythm"] = memory.rhythm->encode();
    if (memory.watched_since) object["watched_since"] = ticks(*memory.watched_since);
    if (memory.last_data_commit) object["last_data_commit"] = ticks(*memory.last_data_commit);
    if (!memory.drifting.empty()) object["drifting"] = memory.drifting;
    object["last_commit"] = to_json(memory.last_commit);
    return object;
}

base::Result<AlarmMemory> decode_memory(const json::object& object, const AlarmConfig& config) {
    Fields fields(object);
    AlarmMemory memory;
    const auto state = parse_alarm_state(fields.text("state"));
    if (!state) fields.wrong("state");
    memory.state = state.value_or(AlarmState::InsufficientData);
    memory.episode = static_cast<std::uint64_t>(std::max<std::int64_t>(0, fields.integer("episode")));
    memory.text = fields.text("text");
    memory.since = fields.optional_time("since");
    if (fields.has("acknowledged"))
        if (const json::object* inner = fields.object("acknowledged")) {
            Fields of(*inner);
            memory.acknowledged = Acknowledgement{of.text("by"), of.time("at"), of.text("note")};
            if (!of.status("")) fields.wrong("acknowledged");
        }
    read_data(fields.text("data"), config.n, memory, fields);
    auto bytes = from_base64(fields.text("numbers"));
    if (!bytes || !unpack(*bytes, memory)) fields.wrong("numbers");
    memory.watched_since = fields.optional_time("watched_since");
    memory.last_data_commit = fields.optional_time("last_data_commit");
    if (fields.has("drifting")) memory.drifting = fields.text("drifting");
    if (const json::object* inner = fields.object("last_commit"))
        memory.last_commit = commit_from(Fields(*inner), fields);
    SB_CHECK(read_models(fields, config, memory));
    SB_CHECK(fields.status("an alarm's memory"));
    return memory;
}

json::object encode(const Silence& silence) {
    return {{"alarm", silence.alarm},        {"table", silence.table}, {"from", ticks(silence.from)},
            {"until", ticks(silence.until)}, {"by", silence.by},       {"why", silence.why}};
}

base::Result<Silence> decode_silence(const json::object& object) {
    Fields fields(object);
    Silence silence{fields.text("alarm"), fields.text("table"), fields.time("from"),
                    fields.time("until"), fields.text("by"),    fields.text("why")};
    SB_CHECK(fields.status("a silence"));
    return silence;
}

const Silence* silenced(const std::vector<Silence>& silences, std::string_view alarm, std::string_view table,
                        WallTime at) {
    const Silence* found = nullptr;
    for (const Silence& silence : silences) {
        const bool covers = (silence.alarm.empty() || silence.alarm == alarm) &&
                            (silence.table.empty() || silence.table == table) && silence.from <= at &&
                            at < silence.until;
        if (covers && (found == nullptr || silence.until > found->until)) found = &silence;
    }
    return found;
}

}  // namespace signalbox::alarms
