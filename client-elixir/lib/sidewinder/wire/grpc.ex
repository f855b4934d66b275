defmodule Sidewinder.Wire.Grpc do
  @moduledoc """
  What gRPC adds to HTTP/2: fields of a request, the five bytes before each message, and how an answer ends.

  Messages are never compressed, and we do not offer to read compressed ones. Names ending in `-bin` carry bytes, which
  travel as base64. A server that is no gRPC server is understood as the protocol asks: its HTTP status becomes a status.
  """

  alias Sidewinder.Wire.Status

  @user_agent "sidewinder-elixir/0.1.0"
  # What fits into the eight digits of a timeout.
  @digits_max 99_999_999
  # Bytes up to which pieces of a message are put together.
  @piece 4_096

  @type metadata :: [{binary, binary}]

  @doc "The fields that every request to one place begins with."
  @spec place(binary, binary, binary) :: [{:index, binary, binary}]
  def place(scheme, authority, path) do
    [
      {:index, ":method", "POST"},
      {:index, ":scheme", scheme},
      {:index, ":path", path},
      {:index, ":authority", authority},
      {:index, "te", "trailers"},
      {:index, "content-type", "application/grpc"},
      {:index, "user-agent", @user_agent}
    ]
  end

  @doc "The field that says how many milliseconds are left; none for `:infinity`."
  @spec timeout(non_neg_integer | :infinity) :: [{:plain, binary, binary}]
  def timeout(:infinity), do: []

  def timeout(left) when left <= @digits_max, do: timeout(max(left, 0), "m")
  def timeout(left), do: timeout(min(div(left, 1_000), @digits_max), "S")

  defp timeout(amount, unit), do: [{:plain, "grpc-timeout", Integer.to_string(amount) <> unit}]

  @doc "Metadata as fields, or what is wrong with it."
  @spec metadata(metadata) :: {:ok, [{:plain | :never, binary, binary}]} | {:error, String.t()}
  def metadata([]), do: {:ok, []}

  def metadata(metadata) do
    case Enum.find_value(metadata, &flaw/1) do
      nil -> {:ok, Enum.map(metadata, &field/1)}
      flaw -> {:error, flaw}
    end
  end

  defp field({name, value}) do
    value = if binary?(name), do: Base.encode64(value, padding: false), else: value
    {if(name in ["authorization", "cookie"], do: :never, else: :plain), name, value}
  end

  defp flaw({name, value}) when is_binary(name) and is_binary(value) do
    cond do
      not (name =~ ~r/\A[0-9a-z_.\-]+\z/) ->
        "metadata #{inspect(name)}: write lower-case letters, digits, - _ ."

      String.starts_with?(name, "grpc-") ->
        "metadata #{inspect(name)}: names with grpc- are reserved"

      name in ~w(te content-type user-agent connection host) ->
        "metadata #{inspect(name)}: this name is reserved"

      binary?(name) or value =~ ~r/\A[\x20-\x7E]*\z/ ->
        nil

      true ->
        "metadata #{inspect(name)}: bytes need a name that ends in -bin"
    end
  end

  defp flaw(_), do: "metadata is a list of pairs of strings"

  @doc "A message as pieces to be sent, and their size. A small one is one piece."
  @spec frame(iodata) :: {[binary], pos_integer}
  def frame(message) do
    case IO.iodata_length(message) do
      size when size <= @piece -> {[IO.iodata_to_binary([<<0, size::32>> | message])], size + 5}
      size -> {:erlang.iolist_to_iovec([<<0, size::32>> | message]), size + 5}
    end
  end

  @doc "Takes one message off the front, if it is there as a whole. It is a part of what was read with it, and keeps that."
  @spec message(binary, pos_integer) :: {:ok, binary, binary} | :more | {:error, Status.t()}
  def message(<<0, size::32, message::binary-size(size), rest::binary>>, max) when size <= max, do: {:ok, message, rest}

  def message(<<flag, size::32, _::binary>>, max) when size > max or flag != 0,
    do: {:error, unreadable(flag, size, max)}

  def message(_, _), do: :more

  @doc "Bytes that keep no more than themselves, or not much more."
  @spec own(binary) :: binary
  def own(bytes) when byte_size(bytes) <= 64, do: :binary.copy(bytes)

  def own(bytes),
    do: if(:binary.referenced_byte_size(bytes) > 2 * byte_size(bytes), do: :binary.copy(bytes), else: bytes)

  defp unreadable(0, size, max),
    do: %Status{
      code: 8,
      message: "a message of #{size} bytes was answered, and the limit is #{max} (max_message)"
    }

  defp unreadable(flag, _, _),
    do: %Status{
      code: 13,
      message: "a message with the flag #{flag} was answered: compression was not agreed on"
    }

  @doc "How many bytes more the message needs, or its head, that a rest is the beginning of."
  @spec missing(binary) :: pos_integer
  def missing(<<_, size::32, begun::binary>>), do: size - byte_size(begun)
  def missing(head), do: 5 - byte_size(head)

  @doc """
  One more piece behind others. Small ones become one, because a piece costs a hundred bytes beside what it says: a message
  that comes byte by byte weighs little more than one that comes at once.
  """
  @spec gather(maybe_improper_list, binary) :: maybe_improper_list
  def gather([older | last], bytes) when byte_size(last) + byte_size(bytes) <= @piece, do: [older | last <> bytes]
  def gather(pieces, bytes), do: [pieces | bytes]

  @doc "What is wrong with the first fields of an answer, if anything."
  @spec refusal([{binary, binary}]) :: nil | Status.t()
  def refusal([{":status", "200"} | fields]) do
    case List.keyfind(fields, "content-type", 0) do
      {_, <<"application/grpc", _::binary>>} -> nil
      {_, other} -> peer(2, "not an answer of gRPC: its content-type is #{inspect(other)}", fields)
      nil -> peer(2, "not an answer of gRPC: it has no content-type", fields)
    end
  end

  def refusal([{":status", status} | fields]),
    do: peer(from_http(status), "the server answered HTTP #{status}", fields)

  def refusal(fields), do: peer(2, "an answer without a status", fields)

  defp from_http("400"), do: 13
  defp from_http("401"), do: 16
  defp from_http("403"), do: 7
  defp from_http("404"), do: 12
  defp from_http(status) when status in ~w(429 502 503 504), do: 14
  defp from_http(_), do: 2

  @doc "How a call ended, by its trailers."
  @spec ending([{binary, binary}]) :: {:ok, metadata} | {:error, Status.t()}
  def ending(trailers) do
    case List.keyfind(trailers, "grpc-status", 0) do
      {_, "0"} -> {:ok, readable(trailers)}
      {_, code} -> {:error, peer(code(code), message(trailers), trailers)}
      nil -> {:error, peer(2, "the answer ended without a grpc-status", trailers)}
    end
  end

  defp code(text) do
    case Integer.parse(text) do
      {code, ""} when code in 1..16 -> code
      _ -> 2
    end
  end

  defp message(trailers) do
    case List.keyfind(trailers, "grpc-message", 0) do
      {_, text} -> text |> percent(<<>>) |> legible()
      nil -> ""
    end
  end

  defp percent(<<?%, hex::binary-size(2), rest::binary>>, text) do
    case Base.decode16(hex, case: :mixed) do
      {:ok, byte} -> percent(rest, text <> byte)
      :error -> percent(hex <> rest, text <> "%")
    end
  end

  defp percent(<<byte, rest::binary>>, text), do: percent(rest, <<text::binary, byte>>)
  defp percent(<<>>, text), do: text

  defp legible(text), do: if(String.valid?(text), do: text, else: inspect(text))

  defp peer(code, message, fields) do
    metadata = readable(fields)
    {details, metadata} = List.keytake(metadata, "grpc-status-details-bin", 0) || {nil, metadata}
    details = if details, do: elem(details, 1)
    %Status{code: code, message: message, details: details, origin: :peer, metadata: metadata}
  end

  @doc "Fields of an answer as metadata: bytes as bytes, without what gRPC and HTTP say among themselves."
  @spec readable([{binary, binary}]) :: metadata
  def readable(fields) do
    for {name, value} <- fields, name not in [":status", "grpc-status", "grpc-message", "content-type"] do
      {name, if(binary?(name), do: unbase(value), else: value)}
    end
  end

  defp unbase(value) do
    case Base.decode64(value, padding: false) do
      {:ok, bytes} -> bytes
      :error -> Base.decode64(value) |> elem_or(value)
    end
  end

  defp elem_or({:ok, bytes}, _), do: bytes
  defp elem_or(:error, value), do: value

  defp binary?(name), do: String.ends_with?(name, "-bin")
end
