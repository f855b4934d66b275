defmodule Sidewinder.Call.Once do
  @moduledoc """
  Calls with one answer: `Call` and `Upload`.

  The caller does the work: it packs the arguments, talks to the connection and reads the answer. When it dies, its call is
  cancelled, because the connection watches whoever it works for.
  """

  alias Sidewinder.{Client, Error, Lease, Proto}
  alias Sidewinder.Call.{Again, Ask, Span}

  @call "/sidewinder.v1.Calls/Call"
  @upload "/sidewinder.v1.Calls/Upload"
  @result "/sidewinder.v1.Calls/Result"

  @doc "Arguments in, one value out."
  @spec call(Ask.t()) :: {:ok, term} | {:error, Error.t()}
  def call(ask), do: Span.around(ask, fn -> leased(ask, &attempt(ask, &1, Again.none())) end)

  @doc "The ending of an earlier call, by its key."
  @spec result(Ask.t(), String.t(), String.t()) :: {:ok, term} | {:error, Error.t()}
  def result(ask, key, name) do
    Span.around(ask, fn ->
      leased(ask, fn said ->
        question = fn said ->
          {lease, epoch} = said || {"", 0}
          Proto.ResultRequest.encode(%Proto.ResultRequest{idempotency_key: key, name: name, lease: lease, epoch: epoch})
        end

        ask |> found(Ask.packed(said, question), said, []) |> Span.tried(0)
      end)
    end)
  end

  # Of several daemons it is the one that ran it that knows.
  defp found(ask, question, said, asked) do
    options = Ask.transport_options(ask, said)
    options = if said == :each, do: [under: elsewhere(options[:under], asked)] ++ options, else: options

    case unary(ask, @result, question, said, options) do
      {:error, %Error{reason: :unknown_key} = error, {:each, address, _}} ->
        asked = [address | asked]
        left = for {address, _} <- Client.each(ask.client, :lease), address not in asked, do: address
        if left == [], do: {:error, error}, else: found(ask, question, said, asked)

      {:error, error, _used} ->
        {:error, error}

      answer ->
        answer
    end
  end

  defp elsewhere(under, asked), do: fn address -> if address in asked, do: :none, else: under.(address) end

  defp leased(ask, fun) do
    case Lease.here(ask.client, ask.deadline) do
      {:ok, said} -> fun.(said)
      {:error, error} -> Span.tried({:error, %{error | tool: ask.tool}}, 0)
    end
  end

  defp attempt(ask, said, tries) do
    request = Ask.packed(said, &Proto.CallRequest.encode(Ask.request(ask, &1)))

    with {:error, %Error{} = error, used} <- unary(ask, @call, request, said, Ask.transport_options(ask, said)),
         {:again, pause, newer, more} <- Again.decide(ask, error, used, tries) do
      Span.pause(ask, error, pause, more)
      attempt(ask, newer, more)
    else
      {:stop, error} -> Span.tried({:error, error}, tries.tried)
      {:ok, _, _} = answer -> Span.tried(answer, tries.tried)
    end
  end

  defp unary(ask, path, request, said, options) do
    %{transport: transport, channel: channel} = ask.client

    case transport.unary(channel, path, request, options) do
      {:ok, data, _trailers} -> with {:error, error} <- answer(ask, data), do: {:error, error, said}
      {:error, status} -> {:error, Ask.error(ask, status), Ask.used(status, said)}
    end
  end

  defp answer(ask, data) do
    with {:ok, response} <- Proto.CallResponse.decode(data), {:ok, value} <- Ask.value(ask, response.value) do
      {:ok, value, response.ran}
    else
      {:error, %Error{} = error} -> {:error, error}
      {:error, what} -> {:error, Ask.failure(ask, :undecodable, :data_loss, what)}
    end
  end

  @doc "Inputs in as the tool takes them, one value out. Never tried again: the inputs may be gone."
  @spec upload(Ask.t(), Enumerable.t()) :: {:ok, term} | {:error, Error.t()}
  def upload(ask, inputs) do
    Span.around(ask, fn -> leased(ask, &uploaded(ask, inputs, &1)) end)
  end

  defp uploaded(ask, inputs, said) do
    %{transport: transport, channel: channel} = ask.client

    case transport.open(channel, @upload, Ask.transport_options(ask, said)) do
      {:ok, stream} -> ask |> push(stream, inputs, said) |> Span.tried(0)
      {:error, status} -> Span.tried({:error, Ask.error(ask, status)}, 0)
    end
  end

  defp push(ask, stream, inputs, said) do
    transport = ask.client.transport

    with :ok <- transport.send(stream, opening(ask, stream, said)),
         :ok <- push_all(ask, stream, inputs),
         :ok <- transport.finish(stream) do
      pull(ask, stream, nil)
    else
      {:error, %Error{} = error} -> cancelled(ask, stream, error)
      # The call has ended before its inputs have: by an answer, or by what is told now.
      {:error, status} -> pull(ask, stream, status)
    end
  end

  defp pull(ask, stream, told) do
    transport = ask.client.transport

    with {:ok, data} <- transport.recv(stream, ask.deadline),
         {:end, _trailers} <- transport.recv(stream, ask.deadline) do
      answer(ask, data)
    else
      {:end, _} -> {:error, Ask.failure(ask, :undecodable, :data_loss, "the call has ended without an answer")}
      {:ok, _more} -> cancelled(ask, stream, Ask.failure(ask, :undecodable, :data_loss, "two answers to one call"))
      {:error, %{origin: :client}} when told != nil -> {:error, Ask.error(ask, told)}
      {:error, status} -> {:error, Ask.error(ask, status)}
    end
  end

  defp cancelled(ask, stream, error) do
    ask.client.transport.cancel(stream)
    {:error, error}
  end

  defp push_all(ask, stream, inputs) do
    Enum.reduce_while(inputs, :ok, fn input, :ok ->
      case push_one(ask, stream, input) do
        :ok -> {:cont, :ok}
        {:error, why} -> {:halt, {:error, why}}
      end
    end)
  catch
    kind, reason ->
      ask.client.transport.cancel(stream)
      :erlang.raise(kind, reason, __STACKTRACE__)
  end

  @doc false
  @spec push_one(Ask.t(), term, term) :: :ok | {:error, Error.t() | map}
  def push_one(ask, stream, input) do
    with {:ok, payload} <- Ask.payload(ask, input),
         do: ask.client.transport.send(stream, Proto.Input.encode(%Proto.Input{part: {:item, payload}}))
  end

  @doc false
  @spec opening(Ask.t(), map, Lease.under()) :: iodata
  def opening(ask, stream, said) do
    said = if said == :each, do: elem(stream.under, 1), else: said
    Proto.Input.encode(%Proto.Input{part: {:open, Ask.request(ask, said)}})
  end
end
