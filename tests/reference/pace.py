"""How a governor learns a rate, from lists of moments: slow, and without any memory but them."""

from __future__ import annotations

S = 1_000_000_000
BIN = S // 8
BINS_KEPT = 64
BELOW, STEP, GROWTH, STEP_MAX, LEAST = 0.97, 0.01, 1.2, 0.1, 1.0
HOLD, HOLD_MAX = 4 * S, 60 * S
ABOVE, FAR_ABOVE, FAR_BELOW = 8.0, 64.0, 16.0


class Pace:
    """See `regiment.uac.pace`: the same face as its `Learner`."""

    def __init__(self) -> None:
        self.served_ns: list[int] = []
        self.since = 0
        """How many of them came before the last refusal."""
        self.refusals = 0
        self.opens_ns = self.refused_ns = self.hold_until_ns = self.raised_ns = 0
        self.next_ns = 0
        self.hold_ns = HOLD
        self.burst = 0
        self.unproven = self.tried = self.lost = 0
        self.heard: list[bool] = []
        """Whether it was refused, for each ending of this round."""
        self.background = 0.0
        self.background_until_ns = 0
        self.forget()

    def forget(self) -> None:
        """There is no limit (any more)."""
        self.rate = self.base = self.proven = self.highest = self.step = 0.0
        self.coarse = self.guessing = False
        self.opens_ns = 0

    def served(self, now_ns: int) -> None:
        self.served_ns.append(now_ns)
        self.tried += 1
        self.heard.append(False)
        if len(self.heard) >= 64:
            self.heard.clear()

    def between(self, first: int, last: int) -> int:
        """What was served in the bins from `first` to `last`."""
        return sum(first <= moment // BIN <= last for moment in self.served_ns)

    @property
    def interval_ns(self) -> int:
        return max(int(1e9 / self.rate), 1)

    @property
    def slack_ns(self) -> int:
        return max(4_000_000 - self.interval_ns, 2_000_000)

    def set_rate(self, rate: float) -> None:
        self.rate = max(rate, LEAST)

    # ---- refusals

    def refused(self, started_ns: int, opens_ns: int, now_ns: int) -> bool:
        self.lost += 1
        if started_ns < self.opens_ns:
            return False
        self.heard.append(True)
        p = self.background
        usual = 4 + 64 * p + 4 * (64 * p * (1 - p)) ** 0.5
        if p and now_ns < self.background_until_ns and sum(self.heard) <= usual:
            return False
        self.heard.clear()
        self.background = 0.0
        self.refusals += 1
        is_first = self.rate == 0
        if is_first:
            self.base = float(self.between(now_ns // BIN - 8, now_ns // BIN))
            self.set_rate(BELOW * self.base)
            self.highest = self.rate
            self.unproven = self.tried = self.lost = 0
            self.hold_ns = HOLD
        else:
            proves = now_ns > self.hold_until_ns and not self.coarse
            if proves:
                self.unproven = self.tried = self.lost = 0
                self.highest = self.base
            else:
                self.unproven += 1
                if self.unproven >= 4 and self.rate <= self.highest / FAR_BELOW:
                    self.background = min(self.lost / (self.lost + self.tried), 0.5)
                    self.background_until_ns = now_ns + 3600 * S
                    self.forget()
                    return True
            self.set_rate(self.refuted(proves, now_ns))
            self.base = self.rate
            self.hold_ns = min(2 * self.hold_ns, HOLD_MAX) if proves else HOLD
        self.coarse = self.guessing = is_first
        self.opens_ns = opens_ns if opens_ns > now_ns else now_ns + S
        self.refused_ns = now_ns
        self.hold_until_ns = self.opens_ns + (0 if is_first else self.hold_ns)
        self.raised_ns = self.hold_until_ns
        self.next_ns = self.opens_ns
        self.step = STEP
        self.since = len(self.served_ns)
        return True

    def refuted(self, proves: bool, now_ns: int) -> float:
        """What is granted, now that the present rate was refused."""
        served = len(self.served_ns) - self.since
        found = served * S / max(now_ns - self.refused_ns, BIN)
        open_ns = now_ns - self.opens_ns
        if open_ns >= 2 * (self.opens_ns - self.refused_ns):
            last = now_ns // BIN - 1
            for bins in (4, 8, 16, 32):
                if (bins + 1) * BIN <= open_ns:
                    sure = self.between(last - bins + 1, last) - self.burst
                    found = max(found, sure * 8 / bins)
        if proves:
            self.proven = self.base
        elif self.proven >= 0.99 * self.rate:
            self.proven = 0.0
        found = min(max(found, self.proven or self.rate / 2), self.rate)
        if proves or self.coarse:
            found = (found + self.rate) / 2
        elif self.proven:
            found = max(found, (self.proven + self.rate) / 2)
        return max(found * BELOW, self.proven)

    def guess(self, now_ns: int) -> None:
        """The first rate, from what was granted before the refusal and while the gate was shut."""
        served = len(self.served_ns) - self.since
        shut_s = max(self.opens_ns - self.refused_ns, S) / S
        last = max([*self.served_ns, self.refused_ns]) // BIN
        most = max(self.between(bin, bin) for bin in range(last - BINS_KEPT + 1, last + 1))
        self.burst = int(max(most + served - self.base / 8, 0))
        self.set_rate(BELOW * max(self.base, served / shut_s, 1.0))
        self.base = self.highest = self.rate
        self.guessing = False

    # ---- starts

    def take(self, now_ns: int) -> bool:
        if self.rate == 0:
            return True
        if now_ns < self.opens_ns:
            return False
        if self.guessing:
            self.guess(now_ns)
        if self.next_ns > now_ns + self.slack_ns:
            self.raise_(now_ns)
            if self.rate == 0:
                return True
            if self.next_ns > now_ns + self.slack_ns:
                return False
        self.next_ns = max(self.next_ns, now_ns) + self.interval_ns
        return True

    def raise_(self, now_ns: int) -> None:
        """Somebody waits."""
        passed_ns = now_ns - self.raised_ns
        if now_ns < self.hold_until_ns or 0 <= passed_ns < S // 10:
            return
        self.raised_ns = now_ns
        if passed_ns > max(S, 2 * self.interval_ns):
            return
        if self.rate >= self.base * FAR_ABOVE:
            self.forget()
        elif self.coarse or self.rate >= self.base * ABOVE:
            self.set_rate(self.rate * 2 ** (passed_ns / S))
        else:
            self.set_rate(self.rate * (1 + self.step) ** (passed_ns / S))
            self.step = min(self.step * GROWTH ** (passed_ns / S), STEP_MAX)
