#pragma once
// The ledger check: what was attempted, and with which outcome, against the rows that the members hold afterwards.

#include <cstdint>
#include <string>
#include <vector>

#include "domain/meter/sample.hpp"

namespace signalbox::meter {

struct Attempt {
    RowId row;
    Outcome outcome = Outcome::Ok;
};

struct StoredRow {
    RowId row;
    std::uint32_t copies = 1;
};

// One member's ledger as it was read back.
struct MemberRows {
    std::string member;
    bool readable = false;
    bool writable = false;  // it says that it takes writes
    std::string error;      // why it could not be read
    std::vector<StoredRow> rows;
};

struct MemberDifference {
    std::string member;
    std::uint64_t missing = 0;  // rows that the reference has
    std::uint64_t extra = 0;    // rows that the reference does not have
};

struct LedgerCheck {
    // False: no member could be read, so that nothing below `unknown` is known.
    bool resolved = false;
    std::string
        judged_by;  // the member whose rows decide (the writer), or "all members" if none or several take writes
    std::uint64_t attempted = 0;
    std::uint64_t acknowledged = 0;
    std::uint64_t failed = 0;
    std::uint64_t unknown = 0;
    std::uint64_t lost = 0;        // acknowledged, and not there
    std::uint64_t duplicated = 0;  // there more than once, on any member
    std::uint64_t unknown_happened = 0;
    std::uint64_t unknown_did_not_happen = 0;
    std::uint64_t rolled_back = 0;              // never acknowledged, was seen in a member's table, and is gone
    std::uint64_t failed_happened = 0;          // refused with an error, and there nevertheless
    std::uint64_t not_ours = 0;                 // rows that this run never sent
    std::vector<MemberDifference> differences;  // members that do not hold what the reference holds
    std::vector<std::string> unread;            // "member: why"
    std::vector<RowId> lost_rows;               // the first lost_rows_max of them
    static constexpr std::size_t lost_rows_max = 10;
};

// The writer's rows decide what is there. With no writer or several, a row counts as there if any of the deciding
// members holds it when there is no writer, and only if each of them does when there are several: two writers have to
// agree. `seen` as in Recording::seen_rows (sorted).
LedgerCheck check_ledger(const std::vector<Attempt>& attempts, const std::vector<MemberRows>& members,
                         const std::vector<RowId>& seen);

// The attempts of a recording: every write whose statement was sent.
std::vector<Attempt> attempts_of(const Recording& recording);

}  // namespace signalbox::meter
