defmodule Sidewinder.Channel.Unread do
  @moduledoc """
  What has come on a stream and was not read yet: bytes, of which messages are taken off the front.

  They are taken one by one as bytes, or some at a time as a module of the contract reads them.
  """

  alias Sidewinder.Wire.{Grpc, Status}

  # Messages that are read at a time: those that nobody has looked at yet are carried through each collection of garbage.
  @some 32

  @type how :: :one | module
  @type taken ::
          {:ok, binary | [struct, ...], rest :: binary} | :more | {:unreadable, String.t()} | {:error, Status.t()}

  @doc "Takes what is there as a whole, if anything is."
  @spec take(binary, pos_integer, how) :: taken
  def take(bytes, max, :one) do
    with {:ok, message, rest} <- Grpc.message(bytes, max), do: {:ok, Grpc.own(message), rest}
  end

  def take(bytes, max, module), do: some(module, bytes, max, @some, [])

  # Those that `several/4` has no pattern for are read one by one.
  defp some(module, bytes, max, left, taken) do
    case module.several(bytes, max, left, taken) do
      {taken, 0, rest} -> {:ok, :lists.reverse(taken), rest}
      {taken, left, rest} -> one(module, rest, max, left, taken)
    end
  end

  defp one(module, bytes, max, left, taken) do
    with {:ok, message, rest} <- Grpc.message(bytes, max), {:ok, read} <- module.decode(message) do
      some(module, rest, max, left - 1, [read | taken])
    else
      _ when taken != [] -> {:ok, :lists.reverse(taken), bytes}
      {:error, what} when is_binary(what) -> {:unreadable, what}
      other -> other
    end
  end
end
