"""Shows weir's tasks in GDB, of a live process or a core file.

    (gdb) source /usr/local/share/weir/weir-gdb.py
    (gdb) weir tasks        the tree of tasks: what each waits in, its chain of awaits, where it was spawned
    (gdb) weir workers      what each worker runs, and how much it has before it

It reads the memory of the process and calls nothing in it. The library must have its symbols and debug information
(weir is built with -g unless told otherwise); the program needs none. Prints weir::task, async_generator, join_handle
and channel in words.
"""

import gdb

POINTER = 8
DETAIL = "weir::detail::"


def type_of(name):
    return gdb.lookup_type(DETAIL + name)


def pointer(address, name):
    """The object of type weir::detail::`name` at this address."""
    return gdb.Value(int(address)).cast(type_of(name).pointer())


def offset_of_base(kind, base):
    """Where an object of type `kind` has its base weir::detail::`base`; None when it has none."""
    for field in kind.fields():
        if not field.is_base_class:
            continue
        if field.type.strip_typedefs().tag == DETAIL + base:
            return field.bitpos // 8
        within = offset_of_base(field.type.strip_typedefs(), base)
        if within is not None:
            return field.bitpos // 8 + within
    return None


def base_of(value, base):
    """The base of an object behind a pointer. By hand: gdb's casts ask the object for its type, which may be one of
    those that no debug information names."""
    return pointer(int(value) + offset_of_base(value.type.target(), base), base)


def derived_of(address, base, name):
    """The object weir::detail::`name` whose base is at this address."""
    return pointer(int(address) - offset_of_base(type_of(name), base), name)


def member(object_pointer, name, within=None):
    """A member of the object behind a pointer, or of one of its bases. By hand, for the same reason."""
    kind = within or object_pointer.type.target().strip_typedefs()
    address = int(object_pointer)
    for field in kind.fields():
        if field.is_base_class:
            found = member(gdb.Value(address + field.bitpos // 8), name, field.type.strip_typedefs())
            if found is not None:
                return found
        elif field.name == name and hasattr(field, "bitpos"):
            return gdb.Value(address + field.bitpos // 8).cast(field.type.pointer()).dereference()
    return None


def word(address):
    return int(gdb.Value(int(address)).cast(gdb.lookup_type("unsigned long").pointer()).dereference())


def atomic(value):
    """What a std::atomic of a number or an address holds."""
    for path in (("_M_i",), ("_M_base", "_M_i"), ("_M_b", "_M_p")):
        try:
            inner = value
            for field in path:
                inner = inner[field]
            return int(inner)
        except gdb.error:
            continue
    raise gdb.GdbError("weir: this is no std::atomic: " + str(value.type))


def symbol(address):
    """"vtable for weir::detail::sleep_operation", "weir::detail::leaf::visit(...) const", ... without the offset."""
    text = gdb.execute("info symbol %#x" % address, to_string=True)
    return text.split(" in section ")[0].split(" + ")[0].strip()


class Location:
    """A std::source_location, as the pointer that it is. Compilers agree on what it points to."""

    def __init__(self, address):
        self.known = address != 0
        if not self.known:
            return
        self.file = self.text(word(address))
        self.function = self.text(word(address + POINTER))
        self.line = word(address + 2 * POINTER) & 0xFFFFFFFF
        self.known = self.line != 0

    @staticmethod
    def of(value):
        return Location(word(value.address))

    @staticmethod
    def text(address):
        return gdb.Value(address).cast(gdb.lookup_type("char").pointer()).string()

    def __str__(self):
        return "%s at %s:%d" % (self.function, self.file, self.line) if self.known else "somewhere"


# ---- frames: weir::detail::promise_base


def outwards(frame):
    scope = frame["scope"]
    return member(scope, "frame") if int(scope) != 0 else frame["awaiter"]


def frames_from(frame):
    while int(frame) != 0:
        yield frame
        frame = outwards(frame)


def strand_of(frame):
    """The address of the boundary at which a strand is known."""
    for frame in frames_from(frame):
        last = frame
    return int(last["scope"])


def promise_at(handle):
    """The promise of a coroutine of weir's: it stands behind the frame's two function pointers."""
    return pointer(handle + 2 * POINTER, "promise_base")


# ---- runtimes


def runtimes():
    try:
        core = gdb.parse_and_eval(DETAIL + "first_runtime")
    except gdb.error:
        raise gdb.GdbError("weir: no weir in this program, or without debug information")
    while int(core) != 0:
        yield core
        core = core["next_runtime"]


def workers_of(core):
    data = core["workers_"]["_M_impl"]
    at = int(data["_M_start"])
    while at < int(data["_M_finish"]):
        yield pointer(word(at), "worker")
        at += POINTER


def listed_frames(frame_list):
    frame = frame_list["head_"]
    while int(frame) != 0:
        yield frame
        frame = frame["next"]


def ready_frames(core):
    for worker in workers_of(core):
        yield from listed_frames(worker["queue_"]["woken_"])
        yield from listed_frames(worker["queue_"]["spawned_"])
        yield from listed_frames(worker["sent_"])
    yield from listed_frames(core["injected_"])


# ---- the tree of tasks, as dump_tasks() writes it


class Printer:
    def __init__(self, core):
        self.core = core
        self.lines = []
        self.tasks = 0
        self.depth = 0
        self.strand = None
        self.ready = {}
        for frame in ready_frames(core):
            self.ready[strand_of(frame)] = frame
        root = core["root_"]
        self.group(pointer(int(root.address) + offset_of_base(root.type, "group_core"), "group_core"))

    def begin(self, what):
        self.tasks += 1
        self.lines.append("%stask %d %s" % ("  " * self.depth, self.tasks, what))

    def stack(self, frame):
        indent = "  " * (self.depth + 1)
        if frame is not None:
            for each in frames_from(frame):
                at = Location.of(each["awaiting_at"])
                if at.known:
                    self.lines.append(indent + str(at))
        if self.strand is not None:
            at = Location.of(member(self.strand, "spawned_at"))
            if at.known:
                self.lines.append("%sspawned at %s:%d" % (indent, at.file, at.line))
        self.strand = None

    @staticmethod
    def inner(state):
        """What the slot of a stop_state names."""
        return atomic(state["slot_"]) & ~1

    def inside(self, address):
        """A `stoppable`: a leaf, a scope, or a group. The functions in its table tell which."""
        table = word(address)
        visit = symbol(word(table + POINTER))
        if "leaf::visit" in visit:
            self.leaf(address, table)
        elif "group_core::visit" in visit:
            self.group(derived_of(address, "stoppable", "group_core"))
        elif "cancelling_scope_base::visit" in visit:
            scope = derived_of(address, "stoppable", "cancelling_scope_base")
            inner = self.inner(member(scope, "state_"))
            if inner != 0:
                self.inside(inner)
        elif "shielded_operation" in visit:
            # Its other base stands just before this one.
            boundary = pointer(address - type_of("boundary").sizeof, "boundary")
            self.begin("waits in a shielded section:")
            self.stack(member(boundary, "frame"))
        else:
            self.begin("waits in something unknown (%s)" % visit)
            self.strand = None

    def leaf(self, address, table):
        name = symbol(table).replace("vtable for ", "").replace("{vtable(", "").replace(")}", "")
        name = name.replace(DETAIL, "").replace("weir::", "").replace("_operation", "")
        self.begin("waits in %s:" % name)
        self.stack(member(derived_of(address, "stoppable", "leaf"), "frame_"))

    def group(self, group):
        inner = self.inner(member(group, "state_"))
        if inner != 0:
            self.inside(inner)
        elif self.strand is not None:
            self.elsewhere("is running, or waits for its children:")
        self.children(member(group, "own_"))
        parts = member(group, "parts_")
        for index in range(int(parts["_M_extent"]["_M_extent_value"])):
            self.children((parts["_M_ptr"] + index)["list"])

    def children(self, in_list):
        head = in_list["children"]["head_"]
        hook = head["next"]
        while int(hook) != int(head.address):
            self.child(derived_of(hook, "list_hook", "strand"))
            hook = hook["next"]

    def elsewhere(self, otherwise):
        frame = self.ready.get(int(base_of(self.strand, "boundary")))
        self.begin(otherwise if frame is None else "is ready to run:")
        self.stack(frame)

    def child(self, strand):
        before = self.tasks
        self.depth += 1
        self.strand = strand
        inner = self.inner(member(strand, "state_"))
        if inner != 0:
            self.inside(inner)
        if self.tasks == before:
            self.strand = strand
            self.elsewhere("is running, or stopping:")
        self.strand = None
        self.depth -= 1


def plural(number, what):
    return "%d %s%s" % (number, what, "" if number == 1 else "s")


class SpokenInCpp(gdb.Command):
    """A command that reads C++ also where the selected frame is another language's."""

    def invoke(self, argument, from_tty):
        language = gdb.parameter("language")
        gdb.execute("set language c++", to_string=True)
        try:
            self.show()
        finally:
            gdb.execute("set language " + language, to_string=True)


class WeirCommand(gdb.Command):
    """Shows weir's tasks and workers: `weir tasks`, `weir workers`."""

    def __init__(self):
        super().__init__("weir", gdb.COMMAND_STACK, prefix=True)


class TasksCommand(SpokenInCpp):
    """The tree of tasks of each runtime: what each task waits in, its chain of awaits, innermost first, and where it
was spawned. Of a running process: stop it first."""

    def __init__(self):
        super().__init__("weir tasks", gdb.COMMAND_STACK)

    def show(self):
        found = False
        for core in runtimes():
            found = True
            printer = Printer(core)
            workers = len(list(workers_of(core)))
            print("%s on %s" % (plural(printer.tasks, "task"), plural(workers, "worker")))
            for line in printer.lines:
                print(line)
        if not found:
            print("weir: no runtime lives")


class WorkersCommand(SpokenInCpp):
    """What each worker runs, and how many tasks are ready there."""

    def __init__(self):
        super().__init__("weir workers", gdb.COMMAND_STACK)

    def show(self):
        for core in runtimes():
            for worker in workers_of(core):
                at = atomic(worker["running_at_"])
                ready = atomic(worker["queue_"]["size_"])
                doing = "runs a task that awaited last in " + str(Location(at)) if at else "runs no task"
                print("worker %d: %d ready, %s" % (int(worker["index_"]), ready, doing))


# ---- pretty printers


class CoroutinePrinter:
    """weir::task, weir::async_generator"""

    def __init__(self, value, what, field):
        self.value, self.what, self.field = value, what, field

    def to_string(self):
        handle = int(self.value[self.field]["_M_fr_ptr"])
        if handle == 0:
            return "%s: none" % self.what
        promise = promise_at(handle)
        begun = int(promise["env"]) != 0
        return "%s: %s %s" % (self.what, "awaited last in" if begun else "not begun,", Location.of(promise["awaiting_at"]))


class JoinHandlePrinter:
    """weir::join_handle"""

    def __init__(self, value):
        self.value = value

    def to_string(self):
        target = self.value["target_"]
        if int(target) == 0:
            return "join_handle: none"
        done = atomic(member(target, "link_")) == 1
        return "join_handle: %s, spawned at %s" % ("ended" if done else "lives", Location.of(member(target, "spawned_at")))


class ChannelPrinter:
    """weir::channel"""

    def __init__(self, value):
        self.core = value["core_"]

    def to_string(self):
        capacity = int(self.core["capacity_"])
        if capacity == 2**64 - 1:
            room = "unbounded"
        else:
            room = "capacity %d" % capacity
        state = "closed" if bool(self.core["closed_"]) else "open"
        return "channel: %s, %s, %s" % (room, plural(self.items(), "item"), state)

    def items(self):
        return int(self.core["items_"]["size_"])


def lookup(value):
    kind = value.type.strip_typedefs()
    if kind.code != gdb.TYPE_CODE_STRUCT or kind.tag is None:
        return None
    if kind.tag.startswith("weir::task<"):
        return CoroutinePrinter(value, "task", "handle_")
    if kind.tag.startswith("weir::async_generator<"):
        return CoroutinePrinter(value, "async_generator", "body_")
    if kind.tag.startswith("weir::join_handle<"):
        return JoinHandlePrinter(value)
    if kind.tag.startswith("weir::channel<"):
        return ChannelPrinter(value)
    return None


lookup.name = "weir"
gdb.pretty_printers[:] = [p for p in gdb.pretty_printers if getattr(p, "name", "") != "weir"]
gdb.pretty_printers.append(lookup)
WeirCommand()
TasksCommand()
WorkersCommand()
