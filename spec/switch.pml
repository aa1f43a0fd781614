/* A switch of the writer: intent, barrier, kill, commit, route; crash and restart at every step.
 *
 * The follower is the machine of src/domain/clusters (its states by name) with the order in which src/engine executes
 * its actions. Every alternative below is one atomic step. Faults draw on one budget, so that a run checks every
 * history with at most FAULTS of them, in any order; healing is free. What is left out: docs/adr/0006.
 *
 * Each claim is a variable of that name, asserted where it could break. tools/check-models runs the model and its
 * broken variants, which are the #if's below.
 */
#ifndef FAULTS
#define FAULTS 3
#endif
#ifndef EPOCHS
#define EPOCHS 12 /* numbers; the masks can hold 14; the claim bounds_suffice says that no run needs more */
#endif
#ifndef ONLY
#define ONLY 0 /* the number of the one claim that is looked at; 0: all */
#endif
#define QUEUE 4
#define BIT(n) (1 << (n))

/* What was seen of a member, and what is true of it. OLD claims, but another was promoted since. */
#define UNASKED 0
#define SILENT 1
#define READER 2
#define OLD 3
#define NEWEST 4

mtype = {STARTING, FENCED, FOLLOWING, HOLDING, DRAINING, NO_WRITER, INTENDING, INTENDED, BARRIER, KILLING, PROMOTING,
         PROMOTED, COMMITTING, COMMITTED, STUCK};
mtype = {HOLD, FENCE, ROUTE};

byte faults = FAULTS;

/* The members, 1 and 2. Masks are by member. */
byte newest = 1;
byte claims = BIT(1);
byte up = BIT(1) | BIT(2);

/* The store: survives. */
byte stored_epoch, stored_member;
bool stored_active;

/* The follower: lost in a crash. */
mtype state = STARTING;
byte seen[3];
byte proven;          /* the verdict over seen[] */
bool first_load = true;
bool resumable;       /* the record's epoch may go on */
bool former_unknown;  /* an earlier process may have left something running */
byte highest, epoch, writer, pending, candidate;
bool planned;         /* the candidate is the target of a switchover */
byte leftovers;       /* members where something may still run, as the fences reported */
byte kills_open;
bool traffic_fenced_only;
bool unfenced;        /* a shard said so in the barrier of this switch */
byte proof;           /* members that were proven since the start */
byte acked[2];

/* The data plane. Shard 0 is a relay thread and dies with the follower. Shard 1 is what outlives it (kernel rules, a
 * target group): its flows and its rule stay, and one command of the dead process may still arrive, whenever it likes.
 * It may also miss its deadline for a fence: then it says so in its acknowledgement, and carries the fence out later. */
chan queue[2] = [QUEUE] of {mtype, byte, byte};
bool straggling;
mtype straggler;
byte straggler_epoch, straggler_member;
byte fence_due; /* the fence that shard 1 still has to carry out; 0: none */
byte at_epoch[2], to_member[2];
bool open[2];
short sessions[2]; /* mask by epoch */

/* Only for the claims: nothing decides by these. */
byte fenced_for[EPOCHS + 1];   /* whom a number was used for */
byte traffic_of[EPOCHS + 1];   /* who got its traffic */
byte last_routed, last_writer;
byte running;                  /* members where a statement of a session runs that this process has closed */

/* The claims, with their numbers. */
#define CLAIM(number, name, condition) name = (condition); assert(name || (ONLY && ONLY != number))
hidden byte no_older_session,    /* 1: none of an epoch < n is open when n is routed, nor opens later, on any shard that has
                                     not said that it could not fence */
    number_has_one_member,       /* 2: an epoch number is never used for two members */
    epochs_grow,                 /* 3: routed epochs grow, also across crashes */
    one_member_per_epoch,        /* 4: at most one member gets traffic in an epoch */
    active_is_durable,           /* 5: a route only after the epoch is durable as active */
    proven_since_start,          /* 6: after a restart nothing is routed before proof */
    killed_or_said_so,           /* 7: what still ran was killed, or the switch says `traffic-fenced only` */
    promoted_after_the_fence,    /* 8: a switchover promotes only when no session of the former writer is open */
    writer_is_routed,            /* 9: when faults stop, everything comes to rest with the true writer routed */
    bounds_suffice;              /* 10: no history needs more numbers than the model has */

#define TRUTH(m) (!(up & BIT(m)) -> SILENT : (newest == m -> NEWEST : ((claims & BIT(m)) -> OLD : READER)))
#define CLAIMS(m) (seen[m] >= OLD)
#define PROVEN(m) (CLAIMS(m) && (seen[m] == NEWEST || !CLAIMS(3 - m)))
#define OLDER_SESSIONS(e) ((sessions[0] | sessions[1]) & (BIT(e) - 1))
#define OLDER_FENCED_SESSIONS(e) ((sessions[0] | (fence_due -> 0 : sessions[1])) & (BIT(e) - 1))
#define ROOM (len(queue[0]) < QUEUE && len(queue[1]) < QUEUE)

inline judge() {
    proven = 0;
    if
    :: seen[1] == UNASKED || seen[2] == UNASKED -> skip
    :: else -> proven = (PROVEN(1) -> 1 : (PROVEN(2) -> 2 : 0))
    fi
}

inline tell(what, e, m) {
    queue[0]!what, e, m;
    queue[1]!what, e, m
}

inline begin(whom, by_plan) {
    CLAIM(10, bounds_suffice, highest < EPOCHS);
    highest++;
    pending = highest;
    candidate = whom;
    planned = by_plan;
    resumable = false;
    traffic_fenced_only = false;
    unfenced = false;
    if
    :: !by_plan -> proof = proof | BIT(whom)
    :: else -> skip
    fi;
    state = INTENDING
}

/* Written in one transaction; whether that is known is another question. */
inline store(is_active, then) {
    if
#ifndef STORE_TAKES_ALL
    :: stored_epoch > pending || (stored_epoch == pending && stored_member != candidate) -> failed()
    :: else ->
#else
    :: true ->
#endif
        if
        :: stored_epoch = pending; stored_member = candidate; stored_active = is_active; state = then
        :: faults > 0 -> faults--; failed()
        :: faults > 0 -> faults--; stored_epoch = pending; stored_member = candidate; stored_active = is_active;
           failed()
        fi
    fi;
#ifdef IGNORE_STORE_FAILURE
    state = then
#endif
}

inline failed() {
#ifdef NO_RETRY
    state = STUCK
#else
    abandon(STARTING)
#endif
}

inline abandon(then) {
    kills_open = 0;
#ifdef REUSE_EPOCH
    highest--;
#endif
    state = then
}

/* Older numbers are out of the question now, as the claims say themselves: fewer states. */
inline forget_before(e) {
    number = 1;
    do
    :: number < e ->
        fenced_for[number] = 0;
        traffic_of[number] = ((sessions[1] & BIT(number)) -> traffic_of[number] : 0);
        number++
    :: else -> break
    od;
    number = 0
}

inline route_writer() {
    d_step {
        CLAIM(5, active_is_durable, stored_active && stored_epoch == epoch && stored_member == writer);
        CLAIM(1, no_older_session, OLDER_FENCED_SESSIONS(epoch) == 0);
        CLAIM(6, proven_since_start, (proof & BIT(writer)) != 0);
        CLAIM(3, epochs_grow, epoch > last_routed || (epoch == last_routed && writer == last_writer));
        last_routed = epoch;
        last_writer = writer;
        forget_before(epoch)
    };
    tell(ROUTE, epoch, writer);
    state = FOLLOWING
}

inline kill_leftovers() {
#ifdef HIDE_UNFENCED
    traffic_fenced_only = former_unknown;
#else
    traffic_fenced_only = former_unknown || unfenced;
#endif
    kills_open = 0;
#ifndef NO_KILL
    if
    :: (leftovers & BIT(1)) && seen[1] == SILENT -> traffic_fenced_only = true
    :: (leftovers & BIT(1)) && seen[1] != SILENT -> kills_open = BIT(1)
    :: else -> skip
    fi;
    if
    :: (leftovers & BIT(2)) && seen[2] == SILENT -> traffic_fenced_only = true
    :: (leftovers & BIT(2)) && seen[2] != SILENT -> kills_open = kills_open | BIT(2)
    :: else -> skip
    fi;
#endif
    state = KILLING
}

inline kill_on(m) {
    if
    :: up & BIT(m) -> running = running & ~BIT(m)
    :: else -> traffic_fenced_only = true
    fi;
    kills_open = kills_open & ~BIT(m)
}

/* What the process knew is lost, and so is what it had not yet told; shard 0 goes with it. */
inline crash() {
    state = STARTING;
    seen[1] = UNASKED; seen[2] = UNASKED; proven = 0;
    first_load = true; resumable = false; former_unknown = false; planned = false; traffic_fenced_only = false;
    unfenced = false;
    highest = 0; epoch = 0; writer = 0; pending = 0; candidate = 0;
    leftovers = 0; kills_open = 0; proof = 0; running = 0;
    acked[0] = 0; acked[1] = 0;
    at_epoch[0] = 0; to_member[0] = 0; open[0] = false; sessions[0] = 0;
    do
    :: nempty(queue[0]) -> queue[0]?_, _, _
    :: nempty(queue[1]) -> queue[1]?_, _, _
    :: nempty(queue[1]) && !straggling -> queue[1]?straggler, straggler_epoch, straggler_member; straggling = true
    :: empty(queue[0]) && empty(queue[1]) -> break
    od
}

active proctype follower() {
    byte number;
end:
    do
    :: atomic { faults > 0 -> faults--; crash() }

    :: atomic { state == STARTING && ROOM ->
        highest = (stored_epoch > highest -> stored_epoch : highest);
        if
        :: first_load && stored_epoch > 0 ->
            former_unknown = true;
#ifdef RESUME_INTENT
            resumable = true;
#else
            resumable = stored_active;
#endif
            tell(HOLD, stored_epoch, 0)
        :: else -> skip
        fi;
        first_load = false;
        state = FENCED }

#ifdef NO_RESTART_FENCE
    :: atomic { state == FENCED && resumable && ROOM ->
#else
    :: atomic { state == FENCED && resumable && proven == stored_member && ROOM ->
        proof = proof | BIT(proven);
#endif
        resumable = false;
        epoch = stored_epoch;
        writer = stored_member;
        route_writer() }
    :: atomic { state == FENCED && proven && !(resumable && proven == stored_member) -> begin(proven, false) }

    :: atomic { state == FOLLOWING && proven && proven != writer && ROOM ->
#ifdef KEEP_EPOCH
        stored_member = proven;
        writer = proven;
        proof = proof | BIT(proven);
        route_writer()
#else
        tell(HOLD, epoch, 0);
        begin(proven, false)
#endif
        }
    :: atomic { state == FOLLOWING && !proven && ROOM ->
        tell(HOLD, epoch, 0);
        state = (seen[writer] == READER -> NO_WRITER : HOLDING) }
    /* A switchover is asked for. */
#ifdef ASK_FOR_EVER
    :: atomic { state == FOLLOWING && proven == writer && ROOM ->
#else
    :: atomic { state == FOLLOWING && proven == writer && faults > 0 && ROOM ->
        faults--;
#endif
        tell(HOLD, epoch, 0);
        state = DRAINING }
#ifndef NO_RECONCILE
    /* What outlives us is compared with what should be. */
    :: atomic { state == FOLLOWING && proven == writer && empty(queue[1]) &&
                !(open[1] && at_epoch[1] == epoch && to_member[1] == writer) ->
        queue[1]!ROUTE, epoch, writer }
#endif

    :: atomic { state == DRAINING && proven != writer -> state = HOLDING }
    :: atomic { state == DRAINING && proven == writer && ROOM -> route_writer() }
    :: atomic { state == DRAINING && proven == writer -> begin(3 - writer, true) }

    :: atomic { state == HOLDING && proven && proven != writer -> begin(proven, false) }
    :: atomic { state == HOLDING && !proven && seen[writer] == READER -> state = NO_WRITER }
    :: atomic { state == HOLDING && proven == writer && ROOM -> route_writer() }

    :: atomic { state == NO_WRITER && proven -> begin(proven, false) }

    :: atomic { state == INTENDING ->
#ifdef NO_INTENT
        state = INTENDED
#else
        store(false, INTENDED)
#endif
        }
    :: atomic { state == INTENDED && ROOM ->
        CLAIM(2, number_has_one_member, pending > last_routed &&
            (fenced_for[pending] == 0 || fenced_for[pending] == candidate));
        fenced_for[pending] = candidate;
        tell(FENCE, pending, 0);
#ifdef PROMOTE_BEFORE_FENCE
        state = (planned -> PROMOTING : BARRIER)
#else
        state = BARRIER
#endif
        }

    :: atomic { (state == BARRIER || state == KILLING) && !planned && proven != candidate -> abandon(FENCED) }
    /* A switchover that takes too long, or is called off. */
    :: atomic { (state == BARRIER || state == KILLING || state == PROMOTED) && planned -> abandon(FENCED) }
#ifdef NO_BARRIER
    :: atomic { state == BARRIER && (planned || proven == candidate) -> kill_leftovers() }
#else
    :: atomic { state == BARRIER && (planned || proven == candidate) && acked[0] == pending && acked[1] == pending ->
        kill_leftovers() }
#endif

    :: atomic { state == KILLING && kills_open ->
        if
        :: kills_open & BIT(1) -> kill_on(1)
        :: kills_open & BIT(2) -> kill_on(2)
        :: traffic_fenced_only = true; kills_open = 0 /* kill_deadline */
        fi }
    :: atomic { state == KILLING && kills_open == 0 && (planned || proven == candidate) ->
        state = (planned -> PROMOTING : COMMITTING) }

#ifdef PROMOTE_UNFENCED
    :: atomic { state == PROMOTING ->
#else
    /* Nobody has failed: a wish is no reason to leave traffic behind on the former writer. */
    :: atomic { state == PROMOTING && unfenced -> abandon(FENCED) }
    :: atomic { state == PROMOTING && !unfenced ->
#endif
        CLAIM(8, promoted_after_the_fence, OLDER_SESSIONS(pending) == 0);
        if
        :: newest = candidate; claims = claims | BIT(candidate)
        :: skip
        fi;
        state = PROMOTED }
    :: atomic { state == PROMOTED && proven == candidate ->
        proof = proof | BIT(candidate);
        state = COMMITTING }

    :: atomic { state == COMMITTING ->
        CLAIM(7, killed_or_said_so, traffic_fenced_only || (running == 0 && !fence_due));
#ifdef ROUTE_BEFORE_COMMIT
        state = COMMITTED
#else
        store(true, COMMITTED)
#endif
        }
    :: atomic { state == COMMITTED && ROOM ->
        epoch = pending;
        writer = candidate;
        former_unknown = false;
        pending = 0; candidate = 0; planned = false; traffic_fenced_only = false; unfenced = false;
        leftovers = 0; running = 0;
        route_writer() }
    od
}

/* Every probe ends in an observation, at any time after what it saw. */
active proctype prober() {
end:
    do
    :: d_step { seen[1] != TRUTH(1) -> seen[1] = TRUTH(1);
        seen[2] = (seen[1] == NEWEST && seen[2] == NEWEST -> OLD : seen[2]); judge() }
    :: d_step { seen[2] != TRUTH(2) -> seen[2] = TRUTH(2);
        seen[1] = (seen[2] == NEWEST && seen[1] == NEWEST -> OLD : seen[1]); judge() }
    od
}

active proctype world() {
end:
    do
    :: d_step { faults > 0 -> faults--; newest = 3 - newest; claims = claims | BIT(newest) }
    :: d_step { claims & BIT(3 - newest) -> claims = BIT(newest) }
    :: d_step { faults > 0 && (up & BIT(1)) -> faults--; up = up & ~BIT(1) }
    :: d_step { faults > 0 && (up & BIT(2)) -> faults--; up = up & ~BIT(2) }
    :: d_step { !(up & BIT(1)) -> up = up | BIT(1) }
    :: d_step { !(up & BIT(2)) -> up = up | BIT(2) }
    /* No more faults. */
    :: d_step { faults > 0 -> faults = 0 }
    /* Everything has come to rest: only a routed writer is a good place for that. */
    :: atomic { timeout ->
        CLAIM(9, writer_is_routed, state == FOLLOWING && writer == newest &&
            open[0] && at_epoch[0] == epoch && to_member[0] == newest &&
            open[1] && at_epoch[1] == epoch && to_member[1] == newest && OLDER_SESSIONS(epoch) == 0) };
        break
    od
}

/* `ours`: the process that sent it lives, and hears what the fence closed. */
inline apply(s, what, e, m, ours) {
#ifdef IGNORE_EPOCH_IN_SHARD
    if
    :: true ->
#else
    if
    :: e < at_epoch[s] -> skip
    :: else ->
#endif
        at_epoch[s] = e;
        to_member[s] = m;
        open[s] = (what == ROUTE);
        if
        :: what == FENCE ->
            close_older(s, e, ours);
            fence_due = (s == 1 -> 0 : fence_due)
        :: else -> skip
        fi
    fi;
    if
    :: what == FENCE && ours -> acked[s] = e
    :: else -> skip
    fi
}

inline close_older(s, e, ours) {
    old = 1;
    do
    :: old < e && (sessions[s] & BIT(old)) ->
        sessions[s] = sessions[s] & ~BIT(old);
#ifdef STAMP_LATE
        sessions[s] = sessions[s] | BIT(e);
        traffic_of[e] = traffic_of[old];
#endif
        if
        :: ours -> leftovers = leftovers | BIT(traffic_of[old]); running = running | BIT(traffic_of[old])
        :: else -> skip
        fi;
        old++
    :: old < e && !(sessions[s] & BIT(old)) -> old++
    :: old >= e -> break
    od;
    old = 0
}

/* The first client of the epoch on this shard; more would say the same. */
inline open_session(s) {
    CLAIM(1, no_older_session, (s == 1 && fence_due) ||
        (OLDER_FENCED_SESSIONS(at_epoch[s]) == 0 && at_epoch[s] >= last_routed));
    CLAIM(4, one_member_per_epoch, traffic_of[at_epoch[s]] == 0 || traffic_of[at_epoch[s]] == to_member[s]);
    traffic_of[at_epoch[s]] = to_member[s];
    sessions[s] = sessions[s] | BIT(at_epoch[s])
}

active proctype shard_0() {
    mtype what;
    byte e, m, old;
end:
    do
    :: d_step { queue[0]?what, e, m -> apply(0, what, e, m, true); what = 0; e = 0; m = 0 }
    :: d_step { open[0] && !(sessions[0] & BIT(at_epoch[0])) -> open_session(0) }
    od
}

active proctype shard_1() {
    mtype what;
    byte e, m, old;
end:
    do
    :: d_step { queue[1]?what, e, m -> apply(1, what, e, m, true); what = 0; e = 0; m = 0 }
    :: d_step { faults > 0 && queue[1]?[FENCE, _, _] ->
        faults--;
        queue[1]?what, e, m;
        fence_due = e;
        unfenced = true;
        acked[1] = e;
        what = 0; e = 0; m = 0 }
#ifndef FORGET_FENCE
    :: d_step { fence_due ->
        close_older(1, fence_due, false);
        open[1] = open[1] && at_epoch[1] >= fence_due;
        at_epoch[1] = (at_epoch[1] >= fence_due -> at_epoch[1] : fence_due);
        fence_due = 0 }
#endif
    :: d_step { straggling ->
        apply(1, straggler, straggler_epoch, straggler_member, false);
        straggling = false; straggler = 0; straggler_epoch = 0; straggler_member = 0 }
    :: d_step { open[1] && !(sessions[1] & BIT(at_epoch[1])) -> open_session(1) }
    od
}
