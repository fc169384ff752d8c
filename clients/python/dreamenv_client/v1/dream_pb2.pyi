from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DTYPE_UNSPECIFIED: _ClassVar[DType]
    DTYPE_BOOL: _ClassVar[DType]
    DTYPE_UINT8: _ClassVar[DType]
    DTYPE_INT8: _ClassVar[DType]
    DTYPE_INT32: _ClassVar[DType]
    DTYPE_INT64: _ClassVar[DType]
    DTYPE_FLOAT16: _ClassVar[DType]
    DTYPE_FLOAT32: _ClassVar[DType]
    DTYPE_FLOAT64: _ClassVar[DType]
DTYPE_UNSPECIFIED: DType
DTYPE_BOOL: DType
DTYPE_UINT8: DType
DTYPE_INT8: DType
DTYPE_INT32: DType
DTYPE_INT64: DType
DTYPE_FLOAT16: DType
DTYPE_FLOAT32: DType
DTYPE_FLOAT64: DType

class Tensor(_message.Message):
    __slots__ = ("dtype", "shape", "data")
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    dtype: DType
    shape: _containers.RepeatedScalarFieldContainer[int]
    data: bytes
    def __init__(self, dtype: _Optional[_Union[DType, str]] = ..., shape: _Optional[_Iterable[int]] = ..., data: _Optional[bytes] = ...) -> None: ...

class NamedTensor(_message.Message):
    __slots__ = ("name", "tensor")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TENSOR_FIELD_NUMBER: _ClassVar[int]
    name: str
    tensor: Tensor
    def __init__(self, name: _Optional[str] = ..., tensor: _Optional[_Union[Tensor, _Mapping]] = ...) -> None: ...

class LaneIndices(_message.Message):
    __slots__ = ("index",)
    INDEX_FIELD_NUMBER: _ClassVar[int]
    index: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, index: _Optional[_Iterable[int]] = ...) -> None: ...

class ListModelsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListModelsReply(_message.Message):
    __slots__ = ("models",)
    MODELS_FIELD_NUMBER: _ClassVar[int]
    models: _containers.RepeatedCompositeFieldContainer[Model]
    def __init__(self, models: _Optional[_Iterable[_Union[Model, _Mapping]]] = ...) -> None: ...

class GetModelRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class Model(_message.Message):
    __slots__ = ("name", "identity", "fingerprint", "action_space", "observations", "steps_per_second", "defaults", "config")
    NAME_FIELD_NUMBER: _ClassVar[int]
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    ACTION_SPACE_FIELD_NUMBER: _ClassVar[int]
    OBSERVATIONS_FIELD_NUMBER: _ClassVar[int]
    STEPS_PER_SECOND_FIELD_NUMBER: _ClassVar[int]
    DEFAULTS_FIELD_NUMBER: _ClassVar[int]
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    name: str
    identity: str
    fingerprint: str
    action_space: Space
    observations: _containers.RepeatedCompositeFieldContainer[Observation]
    steps_per_second: float
    defaults: Knobs
    config: str
    def __init__(self, name: _Optional[str] = ..., identity: _Optional[str] = ..., fingerprint: _Optional[str] = ..., action_space: _Optional[_Union[Space, _Mapping]] = ..., observations: _Optional[_Iterable[_Union[Observation, _Mapping]]] = ..., steps_per_second: _Optional[float] = ..., defaults: _Optional[_Union[Knobs, _Mapping]] = ..., config: _Optional[str] = ...) -> None: ...

class Observation(_message.Message):
    __slots__ = ("kind", "space")
    KIND_FIELD_NUMBER: _ClassVar[int]
    SPACE_FIELD_NUMBER: _ClassVar[int]
    kind: str
    space: Space
    def __init__(self, kind: _Optional[str] = ..., space: _Optional[_Union[Space, _Mapping]] = ...) -> None: ...

class Space(_message.Message):
    __slots__ = ("box", "discrete")
    BOX_FIELD_NUMBER: _ClassVar[int]
    DISCRETE_FIELD_NUMBER: _ClassVar[int]
    box: Box
    discrete: Discrete
    def __init__(self, box: _Optional[_Union[Box, _Mapping]] = ..., discrete: _Optional[_Union[Discrete, _Mapping]] = ...) -> None: ...

class Box(_message.Message):
    __slots__ = ("dtype", "shape", "low", "high")
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    LOW_FIELD_NUMBER: _ClassVar[int]
    HIGH_FIELD_NUMBER: _ClassVar[int]
    dtype: DType
    shape: _containers.RepeatedScalarFieldContainer[int]
    low: Tensor
    high: Tensor
    def __init__(self, dtype: _Optional[_Union[DType, str]] = ..., shape: _Optional[_Iterable[int]] = ..., low: _Optional[_Union[Tensor, _Mapping]] = ..., high: _Optional[_Union[Tensor, _Mapping]] = ...) -> None: ...

class Discrete(_message.Message):
    __slots__ = ("n", "start")
    N_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    n: int
    start: int
    def __init__(self, n: _Optional[int] = ..., start: _Optional[int] = ...) -> None: ...

class Knobs(_message.Message):
    __slots__ = ("fixed_temperature", "drawn_temperature", "termination", "termination_temperature", "horizon", "trust_penalty", "trust_limit")
    FIXED_TEMPERATURE_FIELD_NUMBER: _ClassVar[int]
    DRAWN_TEMPERATURE_FIELD_NUMBER: _ClassVar[int]
    TERMINATION_FIELD_NUMBER: _ClassVar[int]
    TERMINATION_TEMPERATURE_FIELD_NUMBER: _ClassVar[int]
    HORIZON_FIELD_NUMBER: _ClassVar[int]
    TRUST_PENALTY_FIELD_NUMBER: _ClassVar[int]
    TRUST_LIMIT_FIELD_NUMBER: _ClassVar[int]
    fixed_temperature: float
    drawn_temperature: Range
    termination: str
    termination_temperature: float
    horizon: int
    trust_penalty: float
    trust_limit: float
    def __init__(self, fixed_temperature: _Optional[float] = ..., drawn_temperature: _Optional[_Union[Range, _Mapping]] = ..., termination: _Optional[str] = ..., termination_temperature: _Optional[float] = ..., horizon: _Optional[int] = ..., trust_penalty: _Optional[float] = ..., trust_limit: _Optional[float] = ...) -> None: ...

class Range(_message.Message):
    __slots__ = ("low", "high")
    LOW_FIELD_NUMBER: _ClassVar[int]
    HIGH_FIELD_NUMBER: _ClassVar[int]
    low: float
    high: float
    def __init__(self, low: _Optional[float] = ..., high: _Optional[float] = ...) -> None: ...

class OpenSessionRequest(_message.Message):
    __slots__ = ("model", "lanes", "observation", "knobs", "starts", "request_id", "lease_seconds")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    LANES_FIELD_NUMBER: _ClassVar[int]
    OBSERVATION_FIELD_NUMBER: _ClassVar[int]
    KNOBS_FIELD_NUMBER: _ClassVar[int]
    STARTS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    LEASE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    model: str
    lanes: int
    observation: str
    knobs: Knobs
    starts: str
    request_id: bytes
    lease_seconds: float
    def __init__(self, model: _Optional[str] = ..., lanes: _Optional[int] = ..., observation: _Optional[str] = ..., knobs: _Optional[_Union[Knobs, _Mapping]] = ..., starts: _Optional[str] = ..., request_id: _Optional[bytes] = ..., lease_seconds: _Optional[float] = ...) -> None: ...

class SessionInfo(_message.Message):
    __slots__ = ("session", "epoch", "lease", "model", "lanes", "last_seq")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    LEASE_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    LANES_FIELD_NUMBER: _ClassVar[int]
    LAST_SEQ_FIELD_NUMBER: _ClassVar[int]
    session: str
    epoch: int
    lease: Lease
    model: Model
    lanes: int
    last_seq: int
    def __init__(self, session: _Optional[str] = ..., epoch: _Optional[int] = ..., lease: _Optional[_Union[Lease, _Mapping]] = ..., model: _Optional[_Union[Model, _Mapping]] = ..., lanes: _Optional[int] = ..., last_seq: _Optional[int] = ...) -> None: ...

class Lease(_message.Message):
    __slots__ = ("seconds",)
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    seconds: float
    def __init__(self, seconds: _Optional[float] = ...) -> None: ...

class Header(_message.Message):
    __slots__ = ("session", "epoch", "seq")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    session: str
    epoch: int
    seq: int
    def __init__(self, session: _Optional[str] = ..., epoch: _Optional[int] = ..., seq: _Optional[int] = ...) -> None: ...

class RenewLeaseRequest(_message.Message):
    __slots__ = ("header",)
    HEADER_FIELD_NUMBER: _ClassVar[int]
    header: Header
    def __init__(self, header: _Optional[_Union[Header, _Mapping]] = ...) -> None: ...

class CloseSessionRequest(_message.Message):
    __slots__ = ("header",)
    HEADER_FIELD_NUMBER: _ClassVar[int]
    header: Header
    def __init__(self, header: _Optional[_Union[Header, _Mapping]] = ...) -> None: ...

class CloseSessionReply(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class SessionRequest(_message.Message):
    __slots__ = ("seq", "attach", "step", "reset", "configure", "snapshot", "restore", "branch", "render", "filter")
    SEQ_FIELD_NUMBER: _ClassVar[int]
    ATTACH_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    RESET_FIELD_NUMBER: _ClassVar[int]
    CONFIGURE_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    RESTORE_FIELD_NUMBER: _ClassVar[int]
    BRANCH_FIELD_NUMBER: _ClassVar[int]
    RENDER_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    seq: int
    attach: AttachRequest
    step: StepRequest
    reset: ResetRequest
    configure: ConfigureRequest
    snapshot: SnapshotRequest
    restore: RestoreRequest
    branch: BranchRequest
    render: RenderRequest
    filter: FilterRequest
    def __init__(self, seq: _Optional[int] = ..., attach: _Optional[_Union[AttachRequest, _Mapping]] = ..., step: _Optional[_Union[StepRequest, _Mapping]] = ..., reset: _Optional[_Union[ResetRequest, _Mapping]] = ..., configure: _Optional[_Union[ConfigureRequest, _Mapping]] = ..., snapshot: _Optional[_Union[SnapshotRequest, _Mapping]] = ..., restore: _Optional[_Union[RestoreRequest, _Mapping]] = ..., branch: _Optional[_Union[BranchRequest, _Mapping]] = ..., render: _Optional[_Union[RenderRequest, _Mapping]] = ..., filter: _Optional[_Union[FilterRequest, _Mapping]] = ...) -> None: ...

class AttachRequest(_message.Message):
    __slots__ = ("session",)
    SESSION_FIELD_NUMBER: _ClassVar[int]
    session: str
    def __init__(self, session: _Optional[str] = ...) -> None: ...

class SessionReply(_message.Message):
    __slots__ = ("seq", "attached", "lanes", "configured", "snapshot", "rendered", "filtered", "error", "draining")
    SEQ_FIELD_NUMBER: _ClassVar[int]
    ATTACHED_FIELD_NUMBER: _ClassVar[int]
    LANES_FIELD_NUMBER: _ClassVar[int]
    CONFIGURED_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    RENDERED_FIELD_NUMBER: _ClassVar[int]
    FILTERED_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    DRAINING_FIELD_NUMBER: _ClassVar[int]
    seq: int
    attached: SessionInfo
    lanes: LaneStep
    configured: ConfigureReply
    snapshot: SnapshotReply
    rendered: RenderReply
    filtered: FilterReply
    error: Error
    draining: Draining
    def __init__(self, seq: _Optional[int] = ..., attached: _Optional[_Union[SessionInfo, _Mapping]] = ..., lanes: _Optional[_Union[LaneStep, _Mapping]] = ..., configured: _Optional[_Union[ConfigureReply, _Mapping]] = ..., snapshot: _Optional[_Union[SnapshotReply, _Mapping]] = ..., rendered: _Optional[_Union[RenderReply, _Mapping]] = ..., filtered: _Optional[_Union[FilterReply, _Mapping]] = ..., error: _Optional[_Union[Error, _Mapping]] = ..., draining: _Optional[_Union[Draining, _Mapping]] = ...) -> None: ...

class Error(_message.Message):
    __slots__ = ("code", "message", "retry_after")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    RETRY_AFTER_FIELD_NUMBER: _ClassVar[int]
    code: int
    message: str
    retry_after: float
    def __init__(self, code: _Optional[int] = ..., message: _Optional[str] = ..., retry_after: _Optional[float] = ...) -> None: ...

class Draining(_message.Message):
    __slots__ = ("last_seq", "snapshot")
    LAST_SEQ_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    last_seq: int
    snapshot: bytes
    def __init__(self, last_seq: _Optional[int] = ..., snapshot: _Optional[bytes] = ...) -> None: ...

class LaneStep(_message.Message):
    __slots__ = ("observation", "reward", "terminated", "truncated", "info")
    OBSERVATION_FIELD_NUMBER: _ClassVar[int]
    REWARD_FIELD_NUMBER: _ClassVar[int]
    TERMINATED_FIELD_NUMBER: _ClassVar[int]
    TRUNCATED_FIELD_NUMBER: _ClassVar[int]
    INFO_FIELD_NUMBER: _ClassVar[int]
    observation: Tensor
    reward: Tensor
    terminated: Tensor
    truncated: Tensor
    info: _containers.RepeatedCompositeFieldContainer[NamedTensor]
    def __init__(self, observation: _Optional[_Union[Tensor, _Mapping]] = ..., reward: _Optional[_Union[Tensor, _Mapping]] = ..., terminated: _Optional[_Union[Tensor, _Mapping]] = ..., truncated: _Optional[_Union[Tensor, _Mapping]] = ..., info: _Optional[_Iterable[_Union[NamedTensor, _Mapping]]] = ...) -> None: ...

class ResetRequest(_message.Message):
    __slots__ = ("header", "mask", "seeds", "options")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    MASK_FIELD_NUMBER: _ClassVar[int]
    SEEDS_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    header: Header
    mask: Tensor
    seeds: Tensor
    options: Options
    def __init__(self, header: _Optional[_Union[Header, _Mapping]] = ..., mask: _Optional[_Union[Tensor, _Mapping]] = ..., seeds: _Optional[_Union[Tensor, _Mapping]] = ..., options: _Optional[_Union[Options, _Mapping]] = ...) -> None: ...

class Options(_message.Message):
    __slots__ = ("start", "observations", "actions")
    START_FIELD_NUMBER: _ClassVar[int]
    OBSERVATIONS_FIELD_NUMBER: _ClassVar[int]
    ACTIONS_FIELD_NUMBER: _ClassVar[int]
    start: Tensor
    observations: Tensor
    actions: Tensor
    def __init__(self, start: _Optional[_Union[Tensor, _Mapping]] = ..., observations: _Optional[_Union[Tensor, _Mapping]] = ..., actions: _Optional[_Union[Tensor, _Mapping]] = ...) -> None: ...

class StepRequest(_message.Message):
    __slots__ = ("header", "actions", "reset", "seeds", "options")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    ACTIONS_FIELD_NUMBER: _ClassVar[int]
    RESET_FIELD_NUMBER: _ClassVar[int]
    SEEDS_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    header: Header
    actions: Tensor
    reset: Tensor
    seeds: Tensor
    options: Options
    def __init__(self, header: _Optional[_Union[Header, _Mapping]] = ..., actions: _Optional[_Union[Tensor, _Mapping]] = ..., reset: _Optional[_Union[Tensor, _Mapping]] = ..., seeds: _Optional[_Union[Tensor, _Mapping]] = ..., options: _Optional[_Union[Options, _Mapping]] = ...) -> None: ...

class ConfigureRequest(_message.Message):
    __slots__ = ("header", "lanes", "knobs")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    LANES_FIELD_NUMBER: _ClassVar[int]
    KNOBS_FIELD_NUMBER: _ClassVar[int]
    header: Header
    lanes: LaneIndices
    knobs: Knobs
    def __init__(self, header: _Optional[_Union[Header, _Mapping]] = ..., lanes: _Optional[_Union[LaneIndices, _Mapping]] = ..., knobs: _Optional[_Union[Knobs, _Mapping]] = ...) -> None: ...

class ConfigureReply(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class SnapshotRequest(_message.Message):
    __slots__ = ("header", "lanes")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    LANES_FIELD_NUMBER: _ClassVar[int]
    header: Header
    lanes: LaneIndices
    def __init__(self, header: _Optional[_Union[Header, _Mapping]] = ..., lanes: _Optional[_Union[LaneIndices, _Mapping]] = ...) -> None: ...

class SnapshotReply(_message.Message):
    __slots__ = ("snapshot",)
    SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    snapshot: bytes
    def __init__(self, snapshot: _Optional[bytes] = ...) -> None: ...

class SnapshotState(_message.Message):
    __slots__ = ("model", "client", "arrays")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    CLIENT_FIELD_NUMBER: _ClassVar[int]
    ARRAYS_FIELD_NUMBER: _ClassVar[int]
    model: str
    client: str
    arrays: _containers.RepeatedCompositeFieldContainer[NamedTensor]
    def __init__(self, model: _Optional[str] = ..., client: _Optional[str] = ..., arrays: _Optional[_Iterable[_Union[NamedTensor, _Mapping]]] = ...) -> None: ...

class SignedSnapshot(_message.Message):
    __slots__ = ("signature", "state")
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    signature: bytes
    state: bytes
    def __init__(self, signature: _Optional[bytes] = ..., state: _Optional[bytes] = ...) -> None: ...

class RestoreRequest(_message.Message):
    __slots__ = ("header", "lanes", "snapshot")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    LANES_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    header: Header
    lanes: LaneIndices
    snapshot: bytes
    def __init__(self, header: _Optional[_Union[Header, _Mapping]] = ..., lanes: _Optional[_Union[LaneIndices, _Mapping]] = ..., snapshot: _Optional[bytes] = ...) -> None: ...

class BranchRequest(_message.Message):
    __slots__ = ("header", "source", "target", "seeds")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    SEEDS_FIELD_NUMBER: _ClassVar[int]
    header: Header
    source: LaneIndices
    target: LaneIndices
    seeds: Tensor
    def __init__(self, header: _Optional[_Union[Header, _Mapping]] = ..., source: _Optional[_Union[LaneIndices, _Mapping]] = ..., target: _Optional[_Union[LaneIndices, _Mapping]] = ..., seeds: _Optional[_Union[Tensor, _Mapping]] = ...) -> None: ...

class RenderRequest(_message.Message):
    __slots__ = ("header", "lanes")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    LANES_FIELD_NUMBER: _ClassVar[int]
    header: Header
    lanes: LaneIndices
    def __init__(self, header: _Optional[_Union[Header, _Mapping]] = ..., lanes: _Optional[_Union[LaneIndices, _Mapping]] = ...) -> None: ...

class RenderReply(_message.Message):
    __slots__ = ("pictures",)
    PICTURES_FIELD_NUMBER: _ClassVar[int]
    pictures: Tensor
    def __init__(self, pictures: _Optional[_Union[Tensor, _Mapping]] = ...) -> None: ...

class FilterRequest(_message.Message):
    __slots__ = ("header", "observations", "actions", "begin")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    OBSERVATIONS_FIELD_NUMBER: _ClassVar[int]
    ACTIONS_FIELD_NUMBER: _ClassVar[int]
    BEGIN_FIELD_NUMBER: _ClassVar[int]
    header: Header
    observations: Tensor
    actions: Tensor
    begin: Tensor
    def __init__(self, header: _Optional[_Union[Header, _Mapping]] = ..., observations: _Optional[_Union[Tensor, _Mapping]] = ..., actions: _Optional[_Union[Tensor, _Mapping]] = ..., begin: _Optional[_Union[Tensor, _Mapping]] = ...) -> None: ...

class FilterReply(_message.Message):
    __slots__ = ("observation",)
    OBSERVATION_FIELD_NUMBER: _ClassVar[int]
    observation: Tensor
    def __init__(self, observation: _Optional[_Union[Tensor, _Mapping]] = ...) -> None: ...

class RolloutRequest(_message.Message):
    __slots__ = ("header", "lanes", "actions", "seeds", "without_observations")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    LANES_FIELD_NUMBER: _ClassVar[int]
    ACTIONS_FIELD_NUMBER: _ClassVar[int]
    SEEDS_FIELD_NUMBER: _ClassVar[int]
    WITHOUT_OBSERVATIONS_FIELD_NUMBER: _ClassVar[int]
    header: Header
    lanes: LaneIndices
    actions: Tensor
    seeds: Tensor
    without_observations: bool
    def __init__(self, header: _Optional[_Union[Header, _Mapping]] = ..., lanes: _Optional[_Union[LaneIndices, _Mapping]] = ..., actions: _Optional[_Union[Tensor, _Mapping]] = ..., seeds: _Optional[_Union[Tensor, _Mapping]] = ..., without_observations: _Optional[bool] = ...) -> None: ...

class RolloutReply(_message.Message):
    __slots__ = ("first", "steps")
    FIRST_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    first: int
    steps: LaneStep
    def __init__(self, first: _Optional[int] = ..., steps: _Optional[_Union[LaneStep, _Mapping]] = ...) -> None: ...
