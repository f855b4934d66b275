defmodule Sidewinder.Wire.Status do
  @moduledoc """
  How a call ended that has no answer.

  `sent` is what matters to whoever would try again: `:no` means that no server has begun with the call, for certain;
  `:maybe` means that it may have. `origin` says who speaks: `:peer` for what the server said of this call (in trailers,
  or by refusing its stream), `:transport` for what became of the connection, `:client` for what was found out here.
  `under` is what the call was made under, when that depends on the address (`Sidewinder.Channel.unary/4`).
  """

  defstruct code: 2, message: "", details: nil, sent: :maybe, origin: :client, metadata: [], under: nil

  @type code :: 0..16
  @type t :: %__MODULE__{
          code: code,
          message: String.t(),
          details: binary | nil,
          sent: :no | :maybe,
          origin: :peer | :transport | :client,
          metadata: [{binary, binary}],
          under: nil | {address :: term, term}
        }

  @names ~w(ok cancelled unknown invalid_argument deadline_exceeded not_found already_exists permission_denied
            resource_exhausted failed_precondition aborted out_of_range unimplemented internal unavailable data_loss
            unauthenticated)a

  @doc "The number of a status."
  @spec number(atom) :: code
  for {name, number} <- Enum.with_index(@names), do: def(number(unquote(name)), do: unquote(number))

  @doc "The name of a status."
  @spec name(code) :: atom
  for {name, number} <- Enum.with_index(@names), do: def(name(unquote(number)), do: unquote(name))

  @doc "No server has begun with it, for certain."
  @spec unsent(atom, String.t(), :client | :transport | :peer) :: t
  def unsent(name, message, origin \\ :client),
    do: %__MODULE__{code: number(name), message: message, sent: :no, origin: origin}

  @doc "A server may have begun with it."
  @spec lost(atom, String.t(), :client | :transport) :: t
  def lost(name, message, origin \\ :transport),
    do: %__MODULE__{code: number(name), message: message, sent: :maybe, origin: origin}
end
