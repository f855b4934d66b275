"""The messages of the contract, made by `make proto` from proto/sidewinder/v1: DO NOT EDIT."""

from collections.abc import Iterable, Mapping, MutableMapping, MutableSequence

from google.protobuf.message import Message

class Duration(Message):
    def __init__(
        self,
        *,
        seconds: int | None = ...,
        nanos: int | None = ...,
    ) -> None: ...
    seconds: int
    nanos: int

class Timestamp(Message):
    def __init__(
        self,
        *,
        seconds: int | None = ...,
        nanos: int | None = ...,
    ) -> None: ...
    seconds: int
    nanos: int

class DescribeRequest(Message):
    def __init__(self) -> None: ...

class DescribeResponse(Message):
    def __init__(
        self,
        *,
        version: str | None = ...,
        run: str | None = ...,
        pid: int | None = ...,
        started: Timestamp | None = ...,
        tier: str | None = ...,
        mode: str | None = ...,
        mode_reason: str | None = ...,
        clients: int | None = ...,
    ) -> None: ...
    version: str
    run: str
    pid: int
    @property
    def started(self) -> Timestamp: ...
    tier: str
    mode: str
    mode_reason: str
    clients: int

class ListPoolsRequest(Message):
    def __init__(
        self,
        *,
        pools: Iterable[str] | None = ...,
    ) -> None: ...
    @property
    def pools(self) -> MutableSequence[str]: ...

class ListPoolsResponse(Message):
    def __init__(
        self,
        *,
        pools: Iterable[Pool] | None = ...,
    ) -> None: ...
    @property
    def pools(self) -> MutableSequence[Pool]: ...

class Pool(Message):
    def __init__(
        self,
        *,
        name: str | None = ...,
        phase: int | None = ...,
        generation: int | None = ...,
        size: Size | None = ...,
        seats: int | None = ...,
        waiting: int | None = ...,
        running: int | None = ...,
        processes: int | None = ...,
        ready: int | None = ...,
        affinity_keys: int | None = ...,
        struck_keys: int | None = ...,
        trouble: str | None = ...,
        tier: str | None = ...,
        fork_server: str | None = ...,
    ) -> None: ...
    name: str
    phase: int
    generation: int
    @property
    def size(self) -> Size: ...
    seats: int
    waiting: int
    running: int
    processes: int
    ready: int
    affinity_keys: int
    struck_keys: int
    trouble: str
    tier: str
    fork_server: str

class Size(Message):
    def __init__(
        self,
        *,
        min: int | None = ...,
        max: int | None = ...,
        spare: int | None = ...,
        headroom: int | None = ...,
    ) -> None: ...
    min: int
    max: int
    spare: int
    headroom: int

class ListWorkersRequest(Message):
    def __init__(
        self,
        *,
        pools: Iterable[str] | None = ...,
    ) -> None: ...
    @property
    def pools(self) -> MutableSequence[str]: ...

class ListWorkersResponse(Message):
    def __init__(
        self,
        *,
        workers: Iterable[Worker] | None = ...,
    ) -> None: ...
    @property
    def workers(self) -> MutableSequence[Worker]: ...

class Worker(Message):
    def __init__(
        self,
        *,
        pool: str | None = ...,
        slot: int | None = ...,
        life: str | None = ...,
        state: int | None = ...,
        pid: int | None = ...,
        generation: int | None = ...,
        busy: int | None = ...,
        begun: int | None = ...,
        served: int | None = ...,
        resident_bytes: int | None = ...,
        ready_since: Timestamp | None = ...,
        suspect_since: Timestamp | None = ...,
        rests_for: Duration | None = ...,
        leaving: str | None = ...,
        unkillable: bool | None = ...,
    ) -> None: ...
    pool: str
    slot: int
    life: str
    state: int
    pid: int
    generation: int
    busy: int
    begun: int
    served: int
    resident_bytes: int
    @property
    def ready_since(self) -> Timestamp: ...
    @property
    def suspect_since(self) -> Timestamp: ...
    @property
    def rests_for(self) -> Duration: ...
    leaving: str
    unkillable: bool

class ListToolsRequest(Message):
    def __init__(
        self,
        *,
        pools: Iterable[str] | None = ...,
    ) -> None: ...
    @property
    def pools(self) -> MutableSequence[str]: ...

class ListToolsResponse(Message):
    def __init__(
        self,
        *,
        tools: Iterable[Tool] | None = ...,
    ) -> None: ...
    @property
    def tools(self) -> MutableSequence[Tool]: ...

class Tool(Message):
    def __init__(
        self,
        *,
        pool: str | None = ...,
        name: str | None = ...,
        stream: bool | None = ...,
        doc: str | None = ...,
        parameters: Iterable[Parameter] | None = ...,
        returns: str | None = ...,
    ) -> None: ...
    pool: str
    name: str
    stream: bool
    doc: str
    @property
    def parameters(self) -> MutableSequence[Parameter]: ...
    returns: str

class Parameter(Message):
    def __init__(
        self,
        *,
        name: str | None = ...,
        type: str | None = ...,
        required: bool | None = ...,
        default_json: str | None = ...,
    ) -> None: ...
    name: str
    type: str
    required: bool
    default_json: str

class WatchRequest(Message):
    def __init__(
        self,
        *,
        pools: Iterable[str] | None = ...,
    ) -> None: ...
    @property
    def pools(self) -> MutableSequence[str]: ...

class Event(Message):
    def __init__(
        self,
        *,
        sequence: int | None = ...,
        at: Timestamp | None = ...,
        what: int | None = ...,
        pool: str | None = ...,
        worker: str | None = ...,
        text: str | None = ...,
        facts: Mapping[str, str] | None = ...,
        lost: int | None = ...,
    ) -> None: ...
    sequence: int
    @property
    def at(self) -> Timestamp: ...
    what: int
    pool: str
    worker: str
    text: str
    @property
    def facts(self) -> MutableMapping[str, str]: ...
    lost: int

class LogsRequest(Message):
    def __init__(
        self,
        *,
        pools: Iterable[str] | None = ...,
        worker: str | None = ...,
        tail: int | None = ...,
        follow: bool | None = ...,
    ) -> None: ...
    @property
    def pools(self) -> MutableSequence[str]: ...
    worker: str
    tail: int
    follow: bool

class LogLine(Message):
    def __init__(
        self,
        *,
        sequence: int | None = ...,
        at: Timestamp | None = ...,
        level: int | None = ...,
        text: str | None = ...,
        pool: str | None = ...,
        worker: str | None = ...,
        call: int | None = ...,
        stream: str | None = ...,
        what: str | None = ...,
        fields: Mapping[str, str] | None = ...,
        lost: int | None = ...,
    ) -> None: ...
    sequence: int
    @property
    def at(self) -> Timestamp: ...
    level: int
    text: str
    pool: str
    worker: str
    call: int
    stream: str
    what: str
    @property
    def fields(self) -> MutableMapping[str, str]: ...
    lost: int

class DrainRequest(Message):
    def __init__(
        self,
        *,
        pool: str | None = ...,
        within: Duration | None = ...,
    ) -> None: ...
    pool: str
    @property
    def within(self) -> Duration: ...

class DrainResponse(Message):
    def __init__(self) -> None: ...

class ResumeRequest(Message):
    def __init__(
        self,
        *,
        pool: str | None = ...,
    ) -> None: ...
    pool: str

class ResumeResponse(Message):
    def __init__(self) -> None: ...

class RestartRequest(Message):
    def __init__(
        self,
        *,
        pool: str | None = ...,
        slot: int | None = ...,
    ) -> None: ...
    pool: str
    slot: int

class RestartResponse(Message):
    def __init__(self) -> None: ...

class ResizeRequest(Message):
    def __init__(
        self,
        *,
        pool: str | None = ...,
        size: Size | None = ...,
    ) -> None: ...
    pool: str
    @property
    def size(self) -> Size: ...

class ResizeResponse(Message):
    def __init__(
        self,
        *,
        before: Size | None = ...,
    ) -> None: ...
    @property
    def before(self) -> Size: ...

class ReloadRequest(Message):
    def __init__(
        self,
        *,
        renew: Iterable[str] | None = ...,
    ) -> None: ...
    @property
    def renew(self) -> MutableSequence[str]: ...

class ReloadResponse(Message):
    def __init__(
        self,
        *,
        changed: Iterable[str] | None = ...,
        renewed: Iterable[str] | None = ...,
        added: Iterable[str] | None = ...,
        removed: Iterable[str] | None = ...,
        needs_restart: Iterable[str] | None = ...,
        daemon: Iterable[str] | None = ...,
    ) -> None: ...
    @property
    def changed(self) -> MutableSequence[str]: ...
    @property
    def renewed(self) -> MutableSequence[str]: ...
    @property
    def added(self) -> MutableSequence[str]: ...
    @property
    def removed(self) -> MutableSequence[str]: ...
    @property
    def needs_restart(self) -> MutableSequence[str]: ...
    @property
    def daemon(self) -> MutableSequence[str]: ...

class DumpStacksRequest(Message):
    def __init__(
        self,
        *,
        pool: str | None = ...,
        slot: int | None = ...,
    ) -> None: ...
    pool: str
    slot: int

class DumpStacksResponse(Message):
    def __init__(
        self,
        *,
        stacks: Iterable[Stacks] | None = ...,
    ) -> None: ...
    @property
    def stacks(self) -> MutableSequence[Stacks]: ...

class Stacks(Message):
    def __init__(
        self,
        *,
        worker: str | None = ...,
        text: str | None = ...,
    ) -> None: ...
    worker: str
    text: str

class UpgradeRequest(Message):
    def __init__(self) -> None: ...

class UpgradeResponse(Message):
    def __init__(
        self,
        *,
        version: str | None = ...,
        run: str | None = ...,
    ) -> None: ...
    version: str
    run: str

class QuitRequest(Message):
    def __init__(
        self,
        *,
        within: Duration | None = ...,
    ) -> None: ...
    @property
    def within(self) -> Duration: ...

class QuitResponse(Message):
    def __init__(self) -> None: ...

class Struct(Message):
    def __init__(
        self,
        *,
        fields: Mapping[str, Value] | None = ...,
    ) -> None: ...
    @property
    def fields(self) -> MutableMapping[str, Value]: ...

class Value(Message):
    def __init__(
        self,
        *,
        null_value: int | None = ...,
        number_value: float | None = ...,
        string_value: str | None = ...,
        bool_value: bool | None = ...,
        struct_value: Struct | None = ...,
        list_value: ListValue | None = ...,
    ) -> None: ...
    null_value: int
    number_value: float
    string_value: str
    bool_value: bool
    @property
    def struct_value(self) -> Struct: ...
    @property
    def list_value(self) -> ListValue: ...

class ListValue(Message):
    def __init__(
        self,
        *,
        values: Iterable[Value] | None = ...,
    ) -> None: ...
    @property
    def values(self) -> MutableSequence[Value]: ...

class Call(Message):
    def __init__(
        self,
        *,
        pool: str | None = ...,
        tool: str | None = ...,
        affinity: Affinity | None = ...,
        idempotency_key: str | None = ...,
        priority: int | None = ...,
        on_abandon: int | None = ...,
        metadata: Mapping[str, str] | None = ...,
        lease: str | None = ...,
        epoch: int | None = ...,
    ) -> None: ...
    pool: str
    tool: str
    @property
    def affinity(self) -> Affinity: ...
    idempotency_key: str
    priority: int
    on_abandon: int
    @property
    def metadata(self) -> MutableMapping[str, str]: ...
    lease: str
    epoch: int

class Affinity(Message):
    def __init__(
        self,
        *,
        key: str | None = ...,
        mode: int | None = ...,
    ) -> None: ...
    key: str
    mode: int

class Payload(Message):
    def __init__(
        self,
        *,
        data: bytes | None = ...,
        content_type: str | None = ...,
    ) -> None: ...
    data: bytes
    content_type: str

class CallRequest(Message):
    def __init__(
        self,
        *,
        call: Call | None = ...,
        arguments: Payload | None = ...,
    ) -> None: ...
    @property
    def call(self) -> Call: ...
    @property
    def arguments(self) -> Payload: ...

class CallResponse(Message):
    def __init__(
        self,
        *,
        value: Payload | None = ...,
        ran: Ran | None = ...,
    ) -> None: ...
    @property
    def value(self) -> Payload: ...
    @property
    def ran(self) -> Ran: ...

class Ran(Message):
    def __init__(
        self,
        *,
        worker: str | None = ...,
        waited: Duration | None = ...,
        took: Duration | None = ...,
    ) -> None: ...
    worker: str
    @property
    def waited(self) -> Duration: ...
    @property
    def took(self) -> Duration: ...

class Item(Message):
    def __init__(
        self,
        *,
        value: Payload | None = ...,
    ) -> None: ...
    @property
    def value(self) -> Payload: ...

class Input(Message):
    def __init__(
        self,
        *,
        open: CallRequest | None = ...,
        item: Payload | None = ...,
    ) -> None: ...
    @property
    def open(self) -> CallRequest: ...
    @property
    def item(self) -> Payload: ...

class CallStructRequest(Message):
    def __init__(
        self,
        *,
        call: Call | None = ...,
        arguments: Struct | None = ...,
    ) -> None: ...
    @property
    def call(self) -> Call: ...
    @property
    def arguments(self) -> Struct: ...

class CallStructResponse(Message):
    def __init__(
        self,
        *,
        value: Value | None = ...,
        ran: Ran | None = ...,
    ) -> None: ...
    @property
    def value(self) -> Value: ...
    @property
    def ran(self) -> Ran: ...

class StructItem(Message):
    def __init__(
        self,
        *,
        value: Value | None = ...,
    ) -> None: ...
    @property
    def value(self) -> Value: ...

class ResultRequest(Message):
    def __init__(
        self,
        *,
        idempotency_key: str | None = ...,
        name: str | None = ...,
        lease: str | None = ...,
        epoch: int | None = ...,
    ) -> None: ...
    idempotency_key: str
    name: str
    lease: str
    epoch: int

class FromClient(Message):
    def __init__(
        self,
        *,
        hello: Hello | None = ...,
        beat: Beat | None = ...,
        detach: Detach | None = ...,
        question: Question | None = ...,
    ) -> None: ...
    @property
    def hello(self) -> Hello: ...
    @property
    def beat(self) -> Beat: ...
    @property
    def detach(self) -> Detach: ...
    @property
    def question(self) -> Question: ...

class Hello(Message):
    def __init__(
        self,
        *,
        name: str | None = ...,
        node: str | None = ...,
        run: str | None = ...,
        pid: int | None = ...,
        mode: str | None = ...,
        labels: Mapping[str, str] | None = ...,
        interval: Duration | None = ...,
        ttl: Duration | None = ...,
        events: bool | None = ...,
    ) -> None: ...
    name: str
    node: str
    run: str
    pid: int
    mode: str
    @property
    def labels(self) -> MutableMapping[str, str]: ...
    @property
    def interval(self) -> Duration: ...
    @property
    def ttl(self) -> Duration: ...
    events: bool

class Beat(Message):
    def __init__(
        self,
        *,
        sequence: int | None = ...,
        answers: int | None = ...,
        held: Duration | None = ...,
        load: int | None = ...,
        next: Duration | None = ...,
    ) -> None: ...
    sequence: int
    answers: int
    @property
    def held(self) -> Duration: ...
    load: int
    @property
    def next(self) -> Duration: ...

class Detach(Message):
    def __init__(
        self,
        *,
        why: str | None = ...,
    ) -> None: ...
    why: str

class Question(Message):
    def __init__(self) -> None: ...

class ToClient(Message):
    def __init__(
        self,
        *,
        granted: Granted | None = ...,
        beat: Beat | None = ...,
        state: Standing | None = ...,
        event: Event | None = ...,
    ) -> None: ...
    @property
    def granted(self) -> Granted: ...
    @property
    def beat(self) -> Beat: ...
    @property
    def state(self) -> Standing: ...
    @property
    def event(self) -> Event: ...

class Granted(Message):
    def __init__(
        self,
        *,
        lease: str | None = ...,
        epoch: int | None = ...,
        interval: Duration | None = ...,
        ttl: Duration | None = ...,
        mode: str | None = ...,
        run: str | None = ...,
        resumed: bool | None = ...,
    ) -> None: ...
    lease: str
    epoch: int
    @property
    def interval(self) -> Duration: ...
    @property
    def ttl(self) -> Duration: ...
    mode: str
    run: str
    resumed: bool

class Standing(Message):
    def __init__(
        self,
        *,
        mode: str | None = ...,
        stopping: bool | None = ...,
        pools: Iterable[PoolStanding] | None = ...,
    ) -> None: ...
    mode: str
    stopping: bool
    @property
    def pools(self) -> MutableSequence[PoolStanding]: ...

class PoolStanding(Message):
    def __init__(
        self,
        *,
        name: str | None = ...,
        phase: int | None = ...,
        ready: int | None = ...,
        waiting: int | None = ...,
        running: int | None = ...,
        saturated: bool | None = ...,
        generation: int | None = ...,
    ) -> None: ...
    name: str
    phase: int
    ready: int
    waiting: int
    running: int
    saturated: bool
    generation: int

class ListClientsRequest(Message):
    def __init__(self) -> None: ...

class ListClientsResponse(Message):
    def __init__(
        self,
        *,
        clients: Iterable[Client] | None = ...,
        passing: int | None = ...,
        presence: str | None = ...,
        leaves_in: Duration | None = ...,
    ) -> None: ...
    @property
    def clients(self) -> MutableSequence[Client]: ...
    passing: int
    presence: str
    @property
    def leaves_in(self) -> Duration: ...

class Client(Message):
    def __init__(
        self,
        *,
        lease: str | None = ...,
        epoch: int | None = ...,
        name: str | None = ...,
        node: str | None = ...,
        run: str | None = ...,
        pid: int | None = ...,
        origin: str | None = ...,
        labels: Mapping[str, str] | None = ...,
        attached: Timestamp | None = ...,
        heard_ago: Duration | None = ...,
        connected: bool | None = ...,
        interval: Duration | None = ...,
        ttl: Duration | None = ...,
        round_trip_p50: Duration | None = ...,
        round_trip_p99: Duration | None = ...,
        missed: int | None = ...,
        beats: int | None = ...,
        load: int | None = ...,
        calls: int | None = ...,
    ) -> None: ...
    lease: str
    epoch: int
    name: str
    node: str
    run: str
    pid: int
    origin: str
    @property
    def labels(self) -> MutableMapping[str, str]: ...
    @property
    def attached(self) -> Timestamp: ...
    @property
    def heard_ago(self) -> Duration: ...
    connected: bool
    @property
    def interval(self) -> Duration: ...
    @property
    def ttl(self) -> Duration: ...
    @property
    def round_trip_p50(self) -> Duration: ...
    @property
    def round_trip_p99(self) -> Duration: ...
    missed: int
    beats: int
    load: int
    calls: int

class Error(Message):
    def __init__(self) -> None: ...

class Any(Message):
    def __init__(
        self,
        *,
        type_url: str | None = ...,
        value: bytes | None = ...,
    ) -> None: ...
    type_url: str
    value: bytes

class Status(Message):
    def __init__(
        self,
        *,
        code: int | None = ...,
        message: str | None = ...,
        details: Iterable[Any] | None = ...,
    ) -> None: ...
    code: int
    message: str
    @property
    def details(self) -> MutableSequence[Any]: ...

class ErrorInfo(Message):
    def __init__(
        self,
        *,
        reason: str | None = ...,
        domain: str | None = ...,
        metadata: Mapping[str, str] | None = ...,
    ) -> None: ...
    reason: str
    domain: str
    @property
    def metadata(self) -> MutableMapping[str, str]: ...

class RetryInfo(Message):
    def __init__(
        self,
        *,
        retry_delay: Duration | None = ...,
    ) -> None: ...
    @property
    def retry_delay(self) -> Duration: ...

class DebugInfo(Message):
    def __init__(
        self,
        *,
        stack_entries: Iterable[str] | None = ...,
        detail: str | None = ...,
    ) -> None: ...
    @property
    def stack_entries(self) -> MutableSequence[str]: ...
    detail: str

class QuotaFailure(Message):
    def __init__(
        self,
        *,
        violations: Iterable[Message] | None = ...,
    ) -> None: ...
    @property
    def violations(self) -> MutableSequence[Message]: ...

class PreconditionFailure(Message):
    def __init__(
        self,
        *,
        violations: Iterable[Message] | None = ...,
    ) -> None: ...
    @property
    def violations(self) -> MutableSequence[Message]: ...

class BadRequest(Message):
    def __init__(
        self,
        *,
        field_violations: Iterable[Message] | None = ...,
    ) -> None: ...
    @property
    def field_violations(self) -> MutableSequence[Message]: ...

class RequestInfo(Message):
    def __init__(
        self,
        *,
        request_id: str | None = ...,
        serving_data: str | None = ...,
    ) -> None: ...
    request_id: str
    serving_data: str

class ResourceInfo(Message):
    def __init__(
        self,
        *,
        resource_type: str | None = ...,
        resource_name: str | None = ...,
        owner: str | None = ...,
        description: str | None = ...,
    ) -> None: ...
    resource_type: str
    resource_name: str
    owner: str
    description: str

class Help(Message):
    def __init__(
        self,
        *,
        links: Mapping[str, str] | None = ...,
    ) -> None: ...
    @property
    def links(self) -> MutableMapping[str, str]: ...

class LocalizedMessage(Message):
    def __init__(
        self,
        *,
        locale: str | None = ...,
        message: str | None = ...,
    ) -> None: ...
    locale: str
    message: str
