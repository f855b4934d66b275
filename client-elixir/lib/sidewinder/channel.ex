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

  alias Sidewinder.Channel.{Attempt, Roster, Settings, Stream}
  alias Sidewinder.Wire.{Grpc, Status}

  @type channel :: atom
  @type stream :: Stream.t()
  @type call_option ::
          {:deadline, integer | :infinity}
          | {:metadata, Grpc.metadata()}
          | {:wait, boolean | non_neg_integer}
          | {:max_message, pos_integer}

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
  """
  @spec unary(channel, binary, iodata, [call_option]) ::
          {:ok, binary, Grpc.metadata()} | {:error, Status.t()}
  def unary(channel, path, request, opts \\ []) do
    {pieces, size} = Grpc.frame(request)

    with {:ok, call} <- call(path, pieces, size, true, opts),
         {:ok, {fields, chunks, trailers, max}} <- Attempt.run(channel, call, &Attempt.unary/3) do
      answer(fields, chunks, trailers, max, call)
    end
  end

  defp answer(fields, chunks, trailers, max, call) do
    with nil <- Grpc.refusal(fields),
         {:ok, metadata} <- Grpc.ending(trailers),
         {:ok, messages, rest} <- Grpc.messages(IO.iodata_to_binary(chunks), max) do
      case {messages, rest} do
        {[message], <<>>} ->
          {:ok, message, metadata}

        {_, <<>>} ->
          {:error, Status.lost(:internal, "#{length(messages)} messages were answered instead of one")}

        _ ->
          {:error, Status.lost(:internal, "the answer ended in the middle of a message")}
      end
    else
      {:error, status} -> {:error, Attempt.overdue(status, call.deadline)}
      status -> {:error, status}
    end
  end

  @doc """
  Opens a call with messages one by one. Options as for `unary/4`, and:

  - `request`: the only message that is to be sent; the stream is then finished from the beginning.
  """
  @spec open(channel, binary, [call_option | {:request, iodata}]) :: {:ok, stream} | {:error, Status.t()}
  def open(channel, path, opts \\ []) do
    {request, opts} = Keyword.pop(opts, :request)
    {pieces, size} = if request == nil, do: {[], 0}, else: Grpc.frame(request)

    with {:ok, call} <- call(path, pieces, size, request != nil, opts),
         do: Attempt.run(channel, call, &Stream.open/3)
  end

  @doc "Sends a message. Waits while the server does not take more."
  @spec send(stream, iodata) :: :ok | {:error, Status.t()}
  def send(stream, message) do
    {pieces, size} = Grpc.frame(message)
    Stream.say(stream, pieces, size, false)
  end

  @doc "There are no more messages to send."
  @spec finish(stream) :: :ok | {:error, Status.t()}
  def finish(stream), do: Stream.say(stream, [], 0, true)

  @doc "The next message, or the end. `deadline` bounds this wait only; that of the call holds anyway."
  @spec recv(stream, integer | :infinity) :: {:ok, binary} | {:end, Grpc.metadata()} | {:error, Status.t()}
  def recv(stream, deadline \\ :infinity), do: Stream.recv(stream, deadline)

  @doc "Gives a call up."
  @spec cancel(stream) :: :ok
  def cancel(stream), do: Stream.cancel(stream)

  defp call(path, pieces, size, fin, opts) do
    case Grpc.metadata(Keyword.get(opts, :metadata, [])) do
      {:ok, metadata} ->
        {:ok,
         %{
           path: path,
           pieces: pieces,
           size: size,
           fin: fin,
           metadata: metadata,
           deadline: Keyword.get(opts, :deadline, :infinity),
           wait_until: wait_until(Keyword.get(opts, :wait, false)),
           max: Keyword.get(opts, :max_message)
         }}

      {:error, why} ->
        {:error, Status.unsent(:invalid_argument, why)}
    end
  end

  defp wait_until(false), do: nil
  defp wait_until(true), do: :infinity
  defp wait_until(milliseconds), do: System.monotonic_time(:millisecond) + milliseconds
end
