defmodule Sidewinder.Channel do
  @moduledoc """
  A way to a server that outlives connections: it keeps some to each address, replaces those that die, and lends them to
  callers. gRPC as bytes; what the bytes mean is for others.

      {:ok, _} = Sidewinder.Channel.start_link(name: MyApp.Sidewinder, endpoints: [{:unix, "/run/sidewinder.sock"}])
      Sidewinder.Channel.unary(MyApp.Sidewinder, "/package.Service/Method", request, deadline: deadline)

  A caller never talks to a dead process: it is told of the end of its connection, and a call that was surely not sent is
  sent again elsewhere. One that may have been sent is not; its status says `sent: :maybe`.

  ## Options

  #{Sidewinder.Channel.Settings.docs()}
  """

  alias Sidewinder.Channel.{Attempt, Choice, Roster, Settings, Stream}
  alias Sidewinder.Wire.{Grpc, Status}

  @type channel :: atom
  @type stream :: Stream.t()
  @type call_option ::
          {:deadline, integer | :infinity}
          | {:metadata, Grpc.metadata()}
          | {:wait, boolean | non_neg_integer}
          | {:max_message, pos_integer}
          | {:under, (address :: term -> {:ok, term} | :none)}

  @doc "Starts a channel. It connects by itself; nothing waits for that."
  @spec start_link(keyword) :: GenServer.on_start()
  def start_link(opts), do: opts |> Settings.complete!() |> Roster.start_link()

  @doc "For a supervisor."
  @spec child_spec(keyword) :: Supervisor.child_spec()
  def child_spec(opts),
    do: %{id: Keyword.get(opts, :name, __MODULE__), start: {__MODULE__, :start_link, [opts]}}

  @doc """
  One message there, one message back, and the metadata that came with it.

  - `deadline`: by `System.monotonic_time(:millisecond)`. `:infinity`.
  - `metadata`: pairs; the values of names that end in `-bin` are bytes. `[]`.
  - `wait`: whether to wait for a server that is not there, instead of being told at once: `true` until the deadline,
    or for so many milliseconds. `false`.
  - `max_message`: bytes of the answer. As the channel says.
  - `under`: what the caller has for an address, such as a lease there: `{:ok, it}`, or `:none` for an address that is not
    to be called. It is asked in the process of the caller for each try; the request may then be a function of it, and a
    status tells both (`status.under`). A caller that has it for no address waits, see `stir/1`.
  """
  @spec unary(channel, binary, iodata | (term -> iodata), [call_option]) ::
          {:ok, binary, Grpc.metadata()} | {:error, Status.t()}
  def unary(channel, path, request, opts \\ []) do
    with {:ok, call} <- call(path, request, true, opts),
         {:ok, {fields, chunks, trailers, request}} <- Attempt.run(channel, call, &Attempt.unary/3) do
      fields |> answer(chunks, trailers, request.max, call) |> told(request)
    end
  end

  defp answer(fields, chunks, trailers, max, call) do
    with nil <- Grpc.refusal(fields),
         {:ok, metadata} <- Grpc.ending(trailers),
         {:ok, message, <<>>} <- Grpc.message(IO.iodata_to_binary(chunks), max) do
      {:ok, Grpc.own(message), metadata}
    else
      {:error, status} -> {:error, Attempt.overdue(status, call.deadline)}
      {:ok, _, _} -> {:error, Status.lost(:internal, "more than one message was answered")}
      :more when chunks == [] -> {:error, Status.lost(:internal, "no message was answered")}
      :more -> {:error, Status.lost(:internal, "the answer ended in the middle of a message")}
      status -> {:error, status}
    end
  end

  @doc """
  Opens a call with messages one by one. Options as for `unary/4`, and `request`: the only message that is to be sent; the
  stream is then finished from the beginning.
  """
  @spec open(channel, binary, [call_option | {:request, iodata | (term -> iodata)}]) ::
          {:ok, stream} | {:error, Status.t()}
  def open(channel, path, opts \\ []) do
    {request, opts} = Keyword.pop(opts, :request)

    with {:ok, call} <- call(path, request, request != nil, opts),
         do: Attempt.run(channel, call, &Stream.open/3)
  end

  @doc "Sends a message. Waits while the server does not take more."
  @spec send(stream, iodata) :: :ok | {:error, Status.t()}
  def send(stream, message) do
    {pieces, size} = Grpc.frame(message)
    stream |> Stream.say(pieces, size, false) |> told(stream)
  end

  @doc "There are no more messages to send."
  @spec finish(stream) :: :ok | {:error, Status.t()}
  def finish(stream), do: stream |> Stream.say([], 0, true) |> told(stream)

  @doc "The next message, or the end. `deadline` bounds this wait only; that of the call holds anyway."
  @spec recv(stream, integer | :infinity) :: {:ok, binary} | {:end, Grpc.metadata()} | {:error, Status.t()}
  def recv(stream, deadline \\ :infinity), do: stream |> Stream.recv(deadline) |> told(stream)

  @doc """
  As `recv/2`, with some of the messages that are there, read by a module of the contract: at least one. Their bytes are a
  part of what was read with them, and keep all of that. `{:unreadable, what}`: what comes next is no such message.
  """
  @spec take(stream, module, integer | :infinity) ::
          {:ok, [struct, ...]} | {:unreadable, String.t()} | {:end, Grpc.metadata()} | {:error, Status.t()}
  def take(stream, module, deadline \\ :infinity), do: stream |> Stream.take(module, deadline) |> told(stream)

  @doc "Gives a call up."
  @spec cancel(stream) :: :ok
  def cancel(stream), do: Stream.cancel(stream)

  @doc "What callers have for addresses has changed: those who wait look again."
  @spec stir(channel) :: :ok
  defdelegate stir(channel), to: Roster

  @doc "Why there is no connection, as far as it is known; empty otherwise."
  @spec why(channel) :: String.t()
  defdelegate why(channel), to: Choice

  @doc "The calling process is told the addresses, now and whenever they change: `{:addresses, addresses}`."
  @spec follow(channel) :: :ok
  defdelegate follow(channel), to: Roster

  defp told({:error, status}, %{under: under}), do: {:error, %{status | under: under}}
  defp told(other, _request), do: other

  defp call(path, request, fin, opts) do
    {pieces, size} = if request == nil or is_function(request), do: {[], 0}, else: Grpc.frame(request)

    case Grpc.metadata(Keyword.get(opts, :metadata, [])) do
      {:ok, metadata} ->
        {:ok,
         %{
           path: path,
           pieces: pieces,
           size: size,
           fin: fin,
           pack: if(is_function(request), do: request),
           under: Keyword.get(opts, :under),
           metadata: metadata,
           deadline: Keyword.get(opts, :deadline, :infinity),
           wait_until: wait_until(Keyword.get(opts, :wait, false)),
           max: Keyword.get(opts, :max_message),
           window: nil,
           fuse: nil
         }}

      {:error, why} ->
        {:error, Status.unsent(:invalid_argument, why)}
    end
  end

  defp wait_until(false), do: nil
  defp wait_until(true), do: :infinity
  defp wait_until(milliseconds), do: System.monotonic_time(:millisecond) + milliseconds
end
