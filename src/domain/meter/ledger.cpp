#include "domain/meter/ledger.hpp"

#include <algorithm>
#include <map>
#include <set>

namespace signalbox::meter {
namespace {

using RowSet = std::set<RowId>;

RowSet row_set(const MemberRows& member) {
    RowSet rows;
    for (const StoredRow& stored : member.rows) rows.insert(stored.row);
    return rows;
}

// The rows that count as there, by the rule of check_ledger.
RowSet decide_present(const std::vector<const MemberRows*>& deciding, bool all_must_agree) {
    RowSet present = row_set(*deciding.front());
    for (std::size_t i = 1; i < deciding.size(); ++i) {
        const RowSet other = row_set(*deciding[i]);
        if (all_must_agree) {
            std::erase_if(present, [&](const RowId& row) { return !other.contains(row); });
        } else {
            present.insert(other.begin(), other.end());
        }
    }
    return present;
}

void count_attempts(LedgerCheck& check, const std::vector<Attempt>& attempts) {
    check.attempted = attempts.size();
    for (const Attempt& attempt : attempts) {
        if (attempt.outcome == Outcome::Ok) ++check.acknowledged;
        if (attempt.outcome == Outcome::Failed) ++check.failed;
        if (attempt.outcome == Outcome::Unknown) ++check.unknown;
    }
}

void judge(LedgerCheck& check, const Attempt& attempt, bool there, bool was_seen) {
    switch (attempt.outcome) {
        case Outcome::Ok:
            if (there) return;
            ++check.lost;
            if (check.lost_rows.size() < LedgerCheck::lost_rows_max) check.lost_rows.push_back(attempt.row);
            return;
        case Outcome::Failed:
            if (there) ++check.failed_happened;
            break;
        case Outcome::Unknown:
            ++(there ? check.unknown_happened : check.unknown_did_not_happen);
            break;
    }
    if (!there && was_seen) ++check.rolled_back;
}

void count_duplicates(LedgerCheck& check, const std::vector<MemberRows>& members) {
    RowSet twice;
    for (const MemberRows& member : members) {
        // A row may be listed more than once as well as with a count.
        std::map<RowId, std::uint64_t> copies;
        for (const StoredRow& stored : member.rows) copies[stored.row] += stored.copies;
        for (const auto& [row, count] : copies) {
            if (count > 1) twice.insert(row);
        }
    }
    check.duplicated = twice.size();
}

void compare_members(LedgerCheck& check, const std::vector<MemberRows>& members, const RowSet& present) {
    for (const MemberRows& member : members) {
        if (!member.readable) {
            check.unread.push_back(member.member + ": " + member.error);
            continue;
        }
        const RowSet rows = row_set(member);
        MemberDifference difference{member.member, 0, 0};
        for (const RowId& row : present) difference.missing += rows.contains(row) ? 0U : 1U;
        for (const RowId& row : rows) difference.extra += present.contains(row) ? 0U : 1U;
        if (difference.missing + difference.extra > 0) check.differences.push_back(difference);
    }
}

}  // namespace

LedgerCheck check_ledger(const std::vector<Attempt>& attempts, const std::vector<MemberRows>& members,
                         const std::vector<RowId>& seen) {
    LedgerCheck check;
    count_attempts(check, attempts);
    std::vector<const MemberRows*> readable;
    std::vector<const MemberRows*> writers;
    for (const MemberRows& member : members) {
        if (member.readable) readable.push_back(&member);
        if (member.readable && member.writable) writers.push_back(&member);
    }
    // Without the writer only all members together are an answer.
    if (writers.empty() && (readable.empty() || readable.size() < members.size())) {
        compare_members(check, members, {});
        return check;
    }
    check.resolved = true;
    check.judged_by = writers.size() == 1 ? writers.front()->member : "all members";
    const RowSet present = writers.empty() ? decide_present(readable, false) : decide_present(writers, true);
    RowSet ours;
    for (const Attempt& attempt : attempts) {
        ours.insert(attempt.row);
        judge(check, attempt, present.contains(attempt.row), std::binary_search(seen.begin(), seen.end(), attempt.row));
    }
    for (const RowId& row : present) check.not_ours += ours.contains(row) ? 0U : 1U;
    count_duplicates(check, members);
    compare_members(check, members, present);
    return check;
}

std::vector<Attempt> attempts_of(const Recording& recording) {
    std::vector<Attempt> attempts;
    for (const Sample& sample : recording.samples) {
        if (sample.kind != Kind::Write || sample.number == 0) continue;
        attempts.push_back(Attempt{RowId{sample.path, sample.number}, sample.outcome});
    }
    return attempts;
}

}  // namespace signalbox::meter
