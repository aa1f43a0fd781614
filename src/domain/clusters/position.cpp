#include "domain/clusters/position.hpp"

#include "base/assert.hpp"

namespace signalbox::clusters {

base::Result<Position> Position::parse(Engine engine, std::string_view text) {
    Position position;
    switch (engine) {
        case Engine::MariaDb: {
            SB_TRY(position.value_, GtidState::parse(text));
            break;
        }
        case Engine::MySql: {
            SB_TRY(position.value_, GtidSet::parse(text));
            break;
        }
        case Engine::PostgreSql: {
            SB_TRY(position.value_, Timelines::parse(text));
            break;
        }
    }
    return position;
}

bool Position::empty() const {
    return std::visit([](const auto& value) { return value.empty(); }, value_);
}

std::string Position::text() const {
    return std::visit([](const auto& value) { return value.text(); }, value_);
}

std::optional<Position> Position::first_missing(const Position& other) const {
    if (other.empty()) return std::nullopt;
    Position missing;
    if (value_.index() != other.value_.index()) return other;
    if (const auto* mine = std::get_if<GtidState>(&value_)) {
        const auto one = mine->first_missing(std::get<GtidState>(other.value_));
        if (!one) return std::nullopt;
        GtidState list;
        list.add(*one);
        missing.value_ = std::move(list);
    } else if (const auto* set = std::get_if<GtidSet>(&value_)) {
        auto one = set->first_missing(std::get<GtidSet>(other.value_));
        if (!one) return std::nullopt;
        missing.value_ = std::move(*one);
    } else {
        const auto& theirs = std::get<Timelines>(other.value_);
        const auto one = std::get<Timelines>(value_).first_missing(theirs);
        if (!one) return std::nullopt;
        missing.value_ = theirs.of(one->timeline);
    }
    return missing;
}

bool Position::newer_than(const Position& other) const {
    const auto* mine = std::get_if<Timelines>(&value_);
    const auto* theirs = std::get_if<Timelines>(&other.value_);
    // How far a timeline was written says nothing of who wrote it last.
    if (mine != nullptr && theirs != nullptr) return mine->descends_from(*theirs);
    return contains(other) && !other.contains(*this);
}

void Position::join(const Position& other) {
    if (other.empty()) return;
    if (empty()) {
        value_ = other.value_;
        return;
    }
    SB_ASSERT(value_.index() == other.value_.index(), "positions of one cluster are of one engine");
    std::visit(
        [&](auto& mine) {
            using T = std::decay_t<decltype(mine)>;
            mine.join(std::get<T>(other.value_));
        },
        value_);
}

Position Position::newest() const {
    Position out;
    if (const auto* list = std::get_if<GtidState>(&value_)) {
        out.value_ = list->newest_per_domain();
    } else if (const auto* history = std::get_if<Timelines>(&value_)) {
        out.value_ = history->newest();
    } else {
        out.value_ = value_;
    }
    return out;
}

Position Position::written_by(const Evidence& server) const {
    Position out;
    if (const auto* list = std::get_if<GtidState>(&value_)) {
        GtidState own;
        for (const Gtid& gtid : list->list()) {
            if (gtid.server == server.server_id) own.add(gtid);
        }
        out.value_ = std::move(own);
    } else if (const auto* set = std::get_if<GtidSet>(&value_)) {
        out.value_ = set->of(server.server_uid);
    } else {
        out.value_ = std::get<Timelines>(value_).of(static_cast<std::uint32_t>(server.server_id));
    }
    return out;
}

Position Position::confirms(const Evidence& replica, const Position& writer) const {
    Position out;
    if (const auto* list = std::get_if<GtidState>(&value_)) {
        GtidState others;
        for (const Gtid& gtid : list->list()) {
            if (gtid.server != replica.server_id) others.add(gtid);
        }
        out.value_ = std::move(others);
    } else if (const auto* set = std::get_if<GtidSet>(&value_)) {
        out.value_ = set->without(replica.server_uid);
    } else {
        const auto* history = std::get_if<Timelines>(&writer.value_);
        const auto& mine = std::get<Timelines>(value_);
        if (history != nullptr && (mine.same_timeline(*history) || mine.descends_from(*history))) out.value_ = value_;
    }
    return out;
}

bool operator==(const Position& a, const Position& b) { return a.value_ == b.value_ || (a.empty() && b.empty()); }

}  // namespace signalbox::clusters
