# The cells of counts.py, as numbers: the first cell of each family, label values behind it.
cdef enum:                       # cells
    CELL_REQUESTS = 0            # + scanner.Method
    CELL_RESPONSES = 15          # + status - 100
    CELL_DISCARDED = 615         # + Discard
    CELL_CREDENTIALS = 626       # + Verdict
    CELL_RETRANSMISSIONS = 633
    CELL_FAULTS = 634            # + FaultKind
    CELL_CHANGES = 640           # + Change
    CELL_BINDINGS = 644
    CELL_AORS = 645
    CELL_USERS = 646
    CELL_DELAYED = 647
    CELL_SERVER = 648            # from here on the core writes nothing
    CELL_COUNT = 675

cdef enum:                       # Discard
    # 0 … 7: scanner.ScanError - 1
    DISCARD_RESPONSE = 8
    DISCARD_OVERSIZE = 9
    DISCARD_QUEUE = 10

cdef enum:                       # Verdict
    VERIFIED = 0
    WRONG = 1
    UNKNOWN_USER = 2
    STALE = 3
    REPLAYED = 4
    FOREIGN = 5
    UNREADABLE = 6
    NO_CREDENTIALS = 7           # not counted: the first half of every challenge round

cdef enum:                       # FaultKind
    FAULT_DROP_IN = 0
    FAULT_DROP_OUT = 1
    FAULT_DELAY = 2
    FAULT_STATUS = 3
    FAULT_SILENT = 4
    FAULT_LIMIT = 5

cdef enum:                       # Change
    CHANGE_ADDED = 0
    CHANGE_REFRESHED = 1
    CHANGE_REMOVED = 2
    CHANGE_EXPIRED = 3
