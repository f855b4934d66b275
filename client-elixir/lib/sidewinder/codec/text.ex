defmodule Sidewinder.Codec.Text do
  @moduledoc """
  Whether bytes are text. Every string of every message is asked, and nearly all of them are ASCII: seven bytes at a time,
  which is what fits a small integer, are looked at there. `String.valid?/1` does the rest.
  """

  import Bitwise

  @high 0x80808080808080

  @known ["application/msgpack", "application/json", "application/octet-stream"]

  @doc "What stands in each item of a stream, and is known by heart."
  @spec known() :: [String.t()]
  def known, do: @known

  @doc "Whether these bytes are UTF-8."
  @spec valid?(binary) :: boolean
  for known <- @known, do: def(valid?(unquote(known)), do: true)
  def valid?(<<seven::56, rest::binary>>) when (seven &&& @high) == 0, do: valid?(rest)
  def valid?(<<byte, rest::binary>>) when byte < 0x80, do: valid?(rest)
  def valid?(<<>>), do: true
  def valid?(rest), do: String.valid?(rest)
end
