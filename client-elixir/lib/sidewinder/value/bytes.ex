defmodule Sidewinder.Value.Bytes do
  @moduledoc "A binary that is bytes and no text. See `Sidewinder.Value.bytes/1`."
  @enforce_keys [:data]
  defstruct [:data]
  @type t :: %__MODULE__{data: iodata}
end
