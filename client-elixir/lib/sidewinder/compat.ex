defmodule Sidewinder.Compat do
  @moduledoc """
  The functions of Snakepit that applications call, with the shapes they know, on top of `Sidewinder`.

  It is a bridge for moving, not a second API: replace `Snakepit.execute` by `Sidewinder.Compat.execute`, see that all is
  well, and then call `Sidewinder` itself, which says more about what went wrong. The guide
  [Moving from Snakepit](guides/from-snakepit.md) has the whole way.

  | Snakepit | here |
  |---|---|
  | a command of an adapter | a tool of that name |
  | `args`, a map | arguments by name |
  | `session_id:` | affinity, `:hint` unless `affinity:` says otherwise |
  | `pool:` | the client, if it is an atom; a pool of the daemon, if it is text |
  | `timeout:` | the same, and it reaches Python; 60,000 ms, for streams 300,000 ms |
  | `{:error, %Snakepit.Error{}}` | `{:error, %Sidewinder.Compat.Error{}}` with the same fields and categories |

  The reasons in `details.reason` are those of Snakepit where it has one: `:queue_timeout`, `:worker_timeout`,
  `:pool_saturated`, `:worker_busy`, `:session_worker_unavailable`, `:pool_not_found`, `:no_workers_available`,
  `:worker_exit`. `details.sidewinder` is the whole `Sidewinder.Error`.
  """

  alias Sidewinder.Compat.Error

  @timeout 60_000
  @stream_timeout 300_000

  @type result :: {:ok, term} | {:error, Error.t()}

  @doc "Runs a command on any worker."
  @spec execute(String.t(), map, keyword) :: result
  def execute(command, args, opts \\ []) do
    {client, options} = translate(opts, @timeout)

    case Sidewinder.call(client, command, args, options) do
      {:ok, value} -> {:ok, value}
      {:error, error} -> {:error, Error.from(error, command)}
    end
  end

  @doc "Runs a command where those of the same session ran."
  @spec execute_in_session(String.t(), String.t(), map, keyword) :: result
  def execute_in_session(session_id, command, args, opts \\ []),
    do: execute(command, args, Keyword.put(opts, :session_id, session_id))

  @doc "Runs a command and gives each item to a function. `:halt` from it ends the stream."
  @spec execute_stream(String.t(), map, (term -> any), keyword) :: :ok | {:error, Error.t()}
  def execute_stream(command, args \\ %{}, callback, opts \\ []) do
    {client, options} = translate(opts, @stream_timeout)

    client
    |> Sidewinder.stream(command, args, options)
    |> Enum.reduce_while(:ok, fn item, :ok -> if callback.(item) == :halt, do: {:halt, :ok}, else: {:cont, :ok} end)
  rescue
    # What the function of the caller raises is the caller's, and only looks the same if it is an error of ours.
    error in Sidewinder.Error -> {:error, Error.from(error, command)}
  end

  @doc "As `execute_stream/4`, in a session."
  @spec execute_in_session_stream(String.t(), String.t(), map, (term -> any), keyword) :: :ok | {:error, Error.t()}
  def execute_in_session_stream(session_id, command, args \\ %{}, callback, opts \\ []),
    do: execute_stream(command, args, callback, Keyword.put(opts, :session_id, session_id))

  defp translate(opts, timeout) do
    {client, pool} = where(opts[:pool])
    session = opts[:session_id]

    options =
      [timeout: opts[:timeout] || timeout, pool: pool, affinity: session] ++
        if(session && opts[:affinity], do: [affinity_mode: opts[:affinity]], else: [])

    {client, options}
  end

  defp where(nil), do: {Sidewinder, nil}
  defp where(pool) when is_binary(pool), do: {Sidewinder, pool}
  defp where(client) when is_atom(client), do: {client, nil}
end
