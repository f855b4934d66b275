defmodule Sidewinder.Value do
  @moduledoc """
  How arguments and answers travel: a content type, and a module that knows it.

  The daemon never looks at a value. What counts is what the two ends make of it:

  | `content_type:` | media type | module |
  |---|---|---|
  | `:msgpack` (the default) | `application/msgpack` | `Sidewinder.Value.MessagePack`, built in |
  | `:json` | `application/json` | `Sidewinder.Value.Json`, by `JSON`, `:json` or `Jason`, whichever there is |
  | `:bytes` | `application/octet-stream` | `Sidewinder.Value.Raw`, iodata as it is |
  | a module | what it says | your own: this behaviour |
  | a text with a `/` | that | iodata as it is |

  ## What becomes of Elixir's values

  | in Elixir | in Python | back in Elixir |
  |---|---|---|
  | `nil`, `true`, `false` | `None`, `True`, `False` | the same |
  | integers of 64 bits, floats | `int`, `float` | the same |
  | `:nan`, `:infinity`, `:neg_infinity` | `float` (MessagePack only) | the same |
  | text (UTF-8) | `str` | text |
  | `Sidewinder.Value.bytes(data)` | `bytes` (MessagePack only) | a binary |
  | other atoms | `str` | text |
  | lists | `list` | lists |
  | maps, with keys that are text, atoms or numbers | `dict` | maps with the keys as text or numbers |
  | `DateTime` | aware `datetime` in UTC (MessagePack only) | `DateTime` in UTC, with microseconds |

  Everything else is refused, with the place where it was found: tuples, structs (say what you mean with
  `Map.from_struct/1`), dates and times without a zone, functions, processes, larger integers, a map in which `:a` and
  `"a"` stand side by side. A binary that is no UTF-8 is refused too, instead of being sent as whatever its bytes happen
  to look like: whoever means bytes says so with `bytes/1`, so that a tool gets the same type each time.

  No atom is ever made of what was received.
  """

  alias Sidewinder.Value.{Bytes, Json, MessagePack, Raw}
  alias Sidewinder.Wire.Grpc

  @typedoc "How a value travels, as an option says it."
  @type content_type :: :msgpack | :json | :bytes | module | String.t()

  @doc "The media type."
  @callback content_type() :: String.t()
  @doc "A value as bytes, or a sentence about why not."
  @callback encode(term) :: {:ok, iodata} | {:error, String.t()}
  @doc "Bytes as a value, or a sentence about why not."
  @callback decode(binary) :: {:ok, term} | {:error, String.t()}

  @short %{msgpack: MessagePack, json: Json, bytes: Raw}
  @built_in %{
    "application/msgpack" => MessagePack,
    "application/json" => Json,
    "application/octet-stream" => Raw,
    # No content type means JSON to the Python runtime.
    "" => Json
  }

  @doc """
  Marks a binary as bytes rather than text.

      iex> {:ok, packed} = Sidewinder.Value.MessagePack.encode(Sidewinder.Value.bytes(<<255>>))
      iex> IO.iodata_to_binary(packed)
      <<0xC4, 1, 255>>
  """
  @spec bytes(iodata) :: Bytes.t()
  def bytes(data), do: %Bytes{data: data}

  @doc """
  The module and the media type that an option means, or why there is none.

      iex> Sidewinder.Value.named(:bytes)
      {:ok, {Sidewinder.Value.Raw, "application/octet-stream"}}
      iex> Sidewinder.Value.named("image/png")
      {:ok, {Sidewinder.Value.Raw, "image/png"}}
      iex> Sidewinder.Value.named("png")
      {:error, ~s(content_type: "png" is no media type: :msgpack, :json, :bytes, a module, or text with a "/")}
  """
  @spec named(content_type) :: {:ok, {module, String.t()}} | {:error, String.t()}
  def named(short) when is_map_key(@short, short) do
    module = Map.fetch!(@short, short)
    {:ok, {module, module.content_type()}}
  end

  def named(text) when is_binary(text) do
    cond do
      text != "" and is_map_key(@built_in, text) -> {:ok, {Map.fetch!(@built_in, text), text}}
      String.contains?(text, "/") -> {:ok, {Raw, text}}
      true -> unknown(text)
    end
  end

  def named(module) when is_atom(module) do
    if Code.ensure_loaded?(module) and function_exported?(module, :content_type, 0),
      do: {:ok, {module, module.content_type()}},
      else: unknown(module)
  end

  def named(other), do: unknown(other)

  defp unknown(what) do
    {:error, "content_type: #{inspect(what)} is no media type: :msgpack, :json, :bytes, a module, or text with a \"/\""}
  end

  @doc """
  What a payload says. Bytes of a content type that nobody here knows stay bytes. What comes of it keeps no more than itself:
  the payload of an item may be a small part of what was read with it.
  """
  @spec decode(String.t(), binary, %{String.t() => module}) :: {:ok, term} | {:error, String.t()}
  def decode(content_type, data, further \\ %{}), do: reader(content_type, further).(data)

  @doc "What reads payloads of a content type, as `decode/3` does: for who has many of them."
  @spec reader(String.t(), %{String.t() => module}) :: (binary -> {:ok, term} | {:error, String.t()})
  def reader(content_type, further) do
    case Map.get(further, content_type) || Map.get(@built_in, content_type, Raw) do
      # It copies what it keeps by itself.
      MessagePack -> &MessagePack.decode/1
      module -> fn data -> module.decode(Grpc.own(data)) end
    end
  end
end
