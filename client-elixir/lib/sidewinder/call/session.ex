defmodule Sidewinder.Session do
  @moduledoc """
  Calls that belong together: they run in the same worker, where Python keeps what they share.

  A session is no process and holds nothing; it is a key and the options that go with it. See `Sidewinder.session/2`.
  """
  @enforce_keys [:client, :key, :options]
  defstruct [:client, :key, :options]
  @type t :: %__MODULE__{client: atom, key: String.t(), options: keyword}
end
